"""Options as a user gives them: a mapping, with canonical names or kafkajs's."""

from __future__ import annotations

import copy
import string
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.options import (
    ClientOptions,
    ConsumerOptions,
    KafkaOptions,
    RetryOptions,
    RunOptions,
)
from kafka_patterns.options.refusals import KAFKA_NAMES, refused_as
from tests.unit.option_values import (
    OPTIONS,
    SECTIONS,
    VALUES,
    error_of,
    mapping_at,
    value_at,
)

ALIASES = [
    (path, alias) for path, option in OPTIONS.items() if path in VALUES for alias in option.aliases
]
KNOWN_NAMES = [
    (path, name) for path, option in OPTIONS.items() for name in (option.name, *option.aliases)
]
EDITS = ("drop", "double", "replace", "insert", "swap")
CHANGED_ON_THE_WAY = {
    "client.brokers": ("a:1", "b:2"),
    "client.api_version": (2, 6, 0),
    "client.sasl.mechanism": "scram-sha-256",
}


def misspelt(name, edit, place, letter):
    """*name* with one letter dropped, doubled, replaced, inserted, or two letters swapped."""
    place %= len(name)
    before, here, after = name[:place], name[place], name[place + 1 :]
    return {
        "drop": before + after,
        "double": before + here + here + after,
        "replace": before + letter + after,
        "insert": before + letter + here + after,
        "swap": before + after[:1] + here + after[1:],
    }[edit]


def could_be(wrong, name):
    """Whether one slip leads from *name* to *wrong*; case and underscores count for nothing."""
    wrong, name = wrong.replace("_", "").lower(), name.replace("_", "").lower()
    return name in (wrong, wrong[:-1]) or any(
        misspelt(name, edit, place, letter) == wrong
        for edit in EDITS
        for place in range(len(name))
        for letter in set(wrong)
    )


def test_these_tests_have_a_value_for_every_option():
    assert set(OPTIONS) - SECTIONS <= set(VALUES) <= set(OPTIONS)


def test_nothing_given_means_the_defaults():
    options = KafkaOptions.of(None)

    assert options == KafkaOptions.of({}) == KafkaOptions()
    assert options.client.brokers == ("localhost:9092",)
    assert options.client.client_id == "nestjs-consumer"
    assert options.consumer.group_id == "nestjs-group"
    assert options.send.acks == "all"


def test_options_that_are_options_already_are_taken_as_they_are():
    options = KafkaOptions(client=ClientOptions(client_id="hero"))

    assert KafkaOptions.of(options) is options


def test_sections_may_be_objects_inside_a_mapping():
    options = KafkaOptions.of(
        {
            "consumer": ConsumerOptions(group_id="hero"),
            "client": {"retry": {"retries": 2}},
        }
    )

    assert options.consumer.group_id == "hero"
    assert options.client.retry.retries == 2


@pytest.mark.parametrize("path", VALUES)
def test_an_option_given_in_a_mapping_is_in_the_options(path):
    value, beside = VALUES[path]

    options = KafkaOptions.of(mapping_at(path, value, beside))

    assert value_at(options, path) == CHANGED_ON_THE_WAY.get(path, value)
    assert options != KafkaOptions()


@given(st.sampled_from(ALIASES))
def test_an_alias_and_the_canonical_name_give_equal_options(path_and_alias):
    path, alias = path_and_alias
    value, beside = VALUES[path]
    above, _, name = path.rpartition(".")
    others = {other: given for other, given in beside.items() if other != name}

    aliased = KafkaOptions.of(mapping_at(f"{above}.{alias}".lstrip("."), value, others))

    assert aliased == KafkaOptions.of(mapping_at(path, value, others))


@given(st.sampled_from(ALIASES))
def test_a_name_and_its_alias_together_are_an_error(path_and_alias):
    path, alias = path_and_alias
    value, beside = VALUES[path]

    error = error_of(mapping_at(path, value, {**beside, alias: value}))

    assert f"{path} is given twice" in error
    assert alias in error


@given(
    st.sampled_from(KNOWN_NAMES),
    st.sampled_from(EDITS),
    st.integers(0, 99),
    st.sampled_from(string.ascii_letters + "_"),
)
def test_a_misspelt_name_is_told_with_its_path_and_the_nearest_name(known, edit, place, letter):
    path, name = known
    above = path.rpartition(".")[0]
    wrong = misspelt(name, edit, place, letter)
    all_names = {other_name for _, other_name in KNOWN_NAMES} | set(KAFKA_NAMES)
    assume(wrong not in all_names and not refused_as(above, wrong))
    wrong_path = f"{above}.{wrong}".lstrip(".")

    error = error_of(mapping_at(wrong_path, 1))

    # One wrong letter can stand for several names: "asl" for "ssl" as well as for "sasl".
    assert error in [
        f"{wrong_path} is not an option; did you mean {other_path}?"
        for other_path, other_name in KNOWN_NAMES
        if other_path.rpartition(".")[0] == above and could_be(wrong, other_name)
    ]


def test_a_name_in_the_wrong_section_is_told_with_the_right_one():
    assert error_of({"clientId": "hero"}) == (
        "clientId is not an option; did you mean client.client_id?"
    )
    assert "did you mean send.acks?" in error_of({"producer": {"acks": 1}})


@pytest.mark.parametrize("name", KAFKA_NAMES)
def test_kafkas_own_name_leads_to_ours(name):
    assert KAFKA_NAMES[name] in OPTIONS
    assert f"did you mean {KAFKA_NAMES[name]}?" in error_of({"consumer": {name: "latest"}})


def test_a_name_like_no_other_is_told_with_all_names_of_its_section():
    error = error_of({"subscribe": {"zzz": 1}})

    assert error == "subscribe.zzz is not an option; known are from_beginning"


def test_all_problems_are_told_at_once():
    error = error_of(
        {
            "client": {"clinetId": "hero", "brokers": "nowhere"},
            "consumer": {"sessionTimeout": 5.9, "heartbeat_interval_ms": True},
            "producer": {"idempotent": True},
            "producerOnlyMode": "false",
        }
    )

    assert "there are 6 problems with the options:" in error
    for path in (
        "client.clinetId",
        "client.brokers",
        "consumer.session_timeout_ms",
        "consumer.heartbeat_interval_ms",
        "producer.idempotent",
        "producer_only_mode",
    ):
        assert f"\n  - {path} " in error


def test_a_misspelt_name_brings_no_false_alarm_about_another():
    error = error_of({"consumer": {"sesion_timeout_ms": 60_000, "heartbeat_interval_ms": 40_000}})

    assert error.startswith("consumer.sesion_timeout_ms is not an option")
    assert "heartbeat" not in error


@pytest.mark.parametrize("not_options", [[], "client", 3, ClientOptions()])
def test_options_of_another_type_are_an_error(not_options):
    assert "the options must be a mapping or KafkaOptions" in error_of(not_options)


def test_a_section_of_another_type_is_an_error():
    assert error_of({"client": None}).startswith("client must be a mapping or ClientOptions")
    assert error_of({"client": {"sasl": "hero:dragon"}}) == (
        "client.sasl must be a mapping or SaslOptions, not a str"
    )


def test_names_that_are_no_text_are_an_error():
    assert error_of({3: "x"}) == "the options must have names as keys, not 3"
    assert error_of({"run": {None: "x"}}) == "run must have names as keys, not None"


def test_what_was_given_is_not_changed():
    given_options: dict[str, Any] = {
        "client": {"brokers": ["a:1"], "native": {"x": [1]}, "retry": {"retries": 1}},
        "consumer": {"sessionTimeout": 9_000},
    }
    before = copy.deepcopy(given_options)

    options = KafkaOptions.of(given_options)
    given_options["client"]["native"]["y"] = 2

    assert options.client.native == {"x": [1]}
    del given_options["client"]["native"]["y"]
    assert given_options == before


def test_native_settings_cannot_be_changed_afterwards():
    options = KafkaOptions.of({"client": {"native": {"x": 1}}})

    with pytest.raises(TypeError):
        options.client.native["y"] = 2  # type: ignore[index]


def test_options_cannot_be_changed_afterwards():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        KafkaOptions().run.workers = 3  # type: ignore[misc]


def test_an_object_is_checked_as_strictly_as_a_mapping():
    with pytest.raises(ConfigurationError, match=r"RunOptions\.workers must be an integer"):
        RunOptions(workers="4")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"KafkaOptions\.client must be a mapping or Cl"):
        KafkaOptions(client={"client_id": "hero"})  # type: ignore[arg-type]


class TestIds:
    def test_ids_end_with_the_role(self):
        options = KafkaOptions.of({"client": {"clientId": "a"}, "consumer": {"groupId": "b"}})

        assert options.client_id_for("-client") == "a-client"
        assert options.group_id_for("-server") == "b-server"

    @pytest.mark.parametrize("postfix", ["", "-blue"])
    def test_ids_end_with_the_postfix_if_one_is_given(self, postfix):
        options = KafkaOptions.of({"postfixId": postfix})

        assert options.client_id_for("-client") == f"nestjs-consumer{postfix}"
        assert options.group_id_for("-server") == f"nestjs-group{postfix}"


class TestWhatNobodyChose:
    """An option that was not given follows another section; one that was given never does."""

    def test_redelivery_follows_the_clients_retry(self):
        options = KafkaOptions.of(
            {"client": {"retry": {"initialRetryTime": 7, "maxRetryTime": 70, "multiplier": 3}}}
        )

        assert (options.run.retry_backoff_ms, options.run.retry_backoff_max_ms) == (7, 70)
        assert options.redelivery == RetryOptions(
            initial_retry_time_ms=7, max_retry_time_ms=70, multiplier=3
        )

    def test_redelivery_follows_the_consumers_retry_first(self):
        options = KafkaOptions.of(
            {
                "client": {"retry": {"initialRetryTime": 7}},
                "consumer": {"retry": {"initialRetryTime": 8, "multiplier": 4}},
            }
        )

        assert options.redelivery == RetryOptions(initial_retry_time_ms=8, multiplier=4)

    def test_redelivery_that_was_chosen_stays_even_if_it_is_the_default(self):
        options = KafkaOptions.of(
            {"client": {"retry": {"initialRetryTime": 7}}, "run": {"retryBackoff": 300}}
        )

        assert options.run.retry_backoff_ms == 300

    def test_sends_are_repeated_as_often_as_the_client_says(self):
        given_client = {"client": {"retry": {"retries": 9}}}

        assert KafkaOptions.of(given_client).producer.retries == 9
        assert KafkaOptions.of({**given_client, "producer": {"retries": 5}}).producer.retries == 5

    def test_metadata_ages_as_the_client_says(self):
        options = KafkaOptions.of(
            {"client": {"metadata_max_age_ms": 9}, "consumer": {"metadata_max_age_ms": 8}}
        )

        assert options.producer.metadata_max_age_ms == 9
        assert options.consumer.metadata_max_age_ms == 8

    def test_a_short_session_shortens_what_must_fit_into_it(self):
        options = KafkaOptions.of({"consumer": {"sessionTimeout": 3_000}})

        assert options.consumer.heartbeat_interval_ms == 1_000
        assert options.run.rebalance_timeout_ms == 1_499

    def test_a_long_session_lengthens_the_poll_interval(self):
        options = KafkaOptions.of({"consumer": {"sessionTimeout": 400_000}})

        assert options.consumer.max_poll_interval_ms == 400_000

    def test_changed_copies_follow_again(self):
        options = KafkaOptions.of({"consumer": {"sessionTimeout": 3_000}})

        changed = attrs.evolve(options, consumer=ConsumerOptions())

        assert changed.run.rebalance_timeout_ms == 5_000
