"""What values options take: strict scalars, ranges, addresses, and rules between options."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_patterns.options import KafkaOptions, SslOptions
from tests.unit.option_values import LIVE, OPTIONS, VALUES, error_of, mapping_at

TEXT_OPTIONS = [path for path, (value, _) in VALUES.items() if type(value) is str]
INTEGER_OPTIONS = [path for path, (value, _) in VALUES.items() if type(value) is int]
NONE_BY_DEFAULT = [path for path, option in OPTIONS.items() if option.default == "`None`"]
BOOLEAN_OPTIONS = [path for path, (value, _) in VALUES.items() if type(value) is bool]


@given(
    st.sampled_from([path for path in INTEGER_OPTIONS if path != "send.acks"]),
    st.one_of(
        st.booleans(), st.floats(), st.text(), st.binary(), st.just([]), st.integers(max_value=-1)
    ),
)
def test_an_integer_is_nothing_but_an_integer_in_its_range(path, value):
    _, beside = VALUES[path]

    assert error_of(mapping_at(path, value, beside)).startswith(f"{path} must be ")


@given(
    st.sampled_from(BOOLEAN_OPTIONS),
    st.one_of(st.integers(), st.floats(), st.sampled_from(["true", "false", ""]), st.none()),
)
def test_a_boolean_is_nothing_but_true_or_false(path, value):
    assert error_of(mapping_at(path, value)).startswith(f"{path} must be True")


@given(
    st.sampled_from(TEXT_OPTIONS),
    st.one_of(st.integers(min_value=5), st.booleans(), st.binary(), st.just(["a"])),
)
def test_a_text_is_nothing_but_a_text(path, value):
    _, beside = VALUES[path]

    assert error_of(mapping_at(path, value, beside)).startswith(f"{path} must be ")


@pytest.mark.parametrize(
    "path", ["client.client_id", "consumer.group_id", "client.sasl.username", "client.ssl.ca_file"]
)
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_text_is_an_error(path, blank):
    _, beside = VALUES[path]

    assert error_of(mapping_at(path, blank, beside)).startswith(f"{path} must be ")


@pytest.mark.parametrize("path", [path for path in VALUES if path not in NONE_BY_DEFAULT])
def test_none_is_an_error_unless_it_is_the_default(path):
    assert path in error_of(mapping_at(path, None))


def test_a_duration_longer_than_the_protocol_can_carry_is_an_error():
    error = error_of({"consumer": {"sessionTimeout": 2**31}})

    assert error == (
        "consumer.session_timeout_ms must be an integer from 1 to 2,147,483,647, not 2147483648"
    )


class TestBrokers:
    @pytest.mark.parametrize(
        ("brokers", "stored"),
        [
            ("kafka:9092", ("kafka:9092",)),
            ("a:1, b:2,", ("a:1", "b:2")),
            (["a:1", "b:2,c:3"], ("a:1", "b:2", "c:3")),
            (
                ("kafka-0.kafka.svc.cluster.local:65535",),
                ("kafka-0.kafka.svc.cluster.local:65535",),
            ),
            ("[::1]:9092", ("[::1]:9092",)),
            ("under_score:1", ("under_score:1",)),
        ],
    )
    def test_addresses_come_as_list_or_text(self, brokers, stored):
        assert KafkaOptions.of({"client": {"brokers": brokers}}).client.brokers == stored

    @pytest.mark.parametrize(
        ("brokers", "reason"),
        [
            ([], "names no broker"),
            ("", "names no broker"),
            (" , ", "names no broker"),
            ("kafka", '"kafka:9092"'),
            ("kafka:", "not 'kafka:'"),
            (":9092", "no valid host name"),
            ("kafka:0", "port outside 1-65535"),
            ("kafka:65536", "port outside 1-65535"),
            ("kafka:9e3", "not 'kafka:9e3'"),
            ("::1:9092", "goes into brackets"),
            ("[::z]:9092", "no IPv6 address in the brackets"),
            ("ka fka:9092", "no valid host name"),
            ("-kafka:9092", "no valid host name"),
            ("kafka://kafka:9092", "not a URL"),
            ({"kafka": 9092}, "not a dict"),
            (b"kafka:9092", "not a bytes"),
            ([9092], "not 9092"),
            (9092, "not 9092"),
            (lambda: ["kafka:9092"], "not a function"),
        ],
    )
    def test_what_is_no_address_is_an_error_with_its_reason(self, brokers, reason):
        error = error_of({"client": {"brokers": brokers}})

        assert error.startswith("client.brokers ")
        assert reason in error

    @given(st.ip_addresses(), st.integers(1, 65_535))
    def test_every_ip_address_is_an_address(self, address, port):
        text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

        assert KafkaOptions.of({"client": {"brokers": text}}).client.brokers == (text,)


class TestApiVersion:
    @pytest.mark.parametrize("version", ["2.6.0", (2, 6, 0), [2, 6, 0]])
    def test_a_version_comes_as_text_or_numbers(self, version):
        assert KafkaOptions.of({"client": {"apiVersion": version}}).client.api_version == (2, 6, 0)

    @pytest.mark.parametrize("version", [2.6, "auto", "2", (2,), (2, "6"), (True, 1), "0.10.2"])
    def test_what_is_no_usable_version_is_an_error(self, version):
        assert "client.api_version must be" in error_of({"client": {"api_version": version}})


class TestSecurity:
    def test_a_live_ssl_context_passes_through(self):
        context = ssl.create_default_context()

        assert KafkaOptions.of({"client": {"ssl": context}}).client.ssl is context

    def test_paths_may_be_path_objects(self):
        options = KafkaOptions.of({"client": {"ssl": {"cafile": Path("certs") / "ca.pem"}}})

        assert options.client.ssl == SslOptions(ca_file=str(Path("certs") / "ca.pem"))

    def test_a_certificate_in_place_of_its_path_is_an_error(self):
        error = error_of({"client": {"ssl": {"ca_file": "-----BEGIN CERTIFICATE-----\nMII"}}})

        assert error == "client.ssl.ca_file must be the path of a file, not the content of one"

    @pytest.mark.parametrize("name", ["key_file", "passphrase"])
    def test_a_key_without_a_certificate_is_an_error(self, name):
        assert "needs cert_file" in error_of({"client": {"ssl": {name: "x"}}})

    def test_an_empty_password_is_an_error(self):
        sasl = {"mechanism": "plain", "username": "hero", "password": ""}

        assert error_of({"client": {"sasl": sasl}}) == (
            "client.sasl.password must be a text that is not empty"
        )

    @pytest.mark.parametrize("value", ["true", 1, None, []])
    def test_ssl_is_a_boolean_a_context_or_options(self, value):
        assert "client.ssl must be True, False, an ssl.SSLContext" in error_of(
            {"client": {"ssl": value}}
        )

    @pytest.mark.parametrize(
        ("sasl", "reason"),
        [
            ({"username": "a", "password": "b"}, "client.sasl.mechanism is missing"),
            ({"mechanism": "aws"}, 'mechanism must be "plain", "scram-sha-256"'),
            ({"mechanism": "plain", "username": "a"}, "client.sasl.password is missing"),
            ({"mechanism": "PLAIN", "password": "a"}, "client.sasl.username is missing"),
            ({"mechanism": "oauthbearer"}, "client.sasl.token_provider is missing"),
            (
                {"mechanism": "oauthbearer", "tokenProvider": LIVE, "username": "a"},
                "client.sasl.username cannot be used",
            ),
            (
                {"mechanism": "oauthbearer", "tokenProvider": lambda: "x"},
                "must be an object with a token() method",
            ),
        ],
    )
    def test_each_mechanism_says_what_it_needs(self, sasl, reason):
        assert reason in error_of({"client": {"sasl": sasl}})


class TestLiveObjects:
    @pytest.mark.parametrize(
        ("path", "wrong"),
        [
            ("serializer", object()),
            ("deserializer", "json"),
            ("serializer", type(LIVE)),
            ("run.allow_reply_topic", "*.reply"),
        ],
    )
    def test_an_object_without_the_method_or_a_class_is_an_error(self, path, wrong):
        assert error_of(mapping_at(path, wrong)).startswith(f"{path} must be ")

    def test_live_objects_pass_through(self):
        options = KafkaOptions.of({"serializer": LIVE, "run": {"allowReplyTopic": str.isascii}})

        assert options.serializer is LIVE
        assert options.run.allow_reply_topic is str.isascii


class TestKafkajsForms:
    @pytest.mark.parametrize(
        ("given_form", "name"),
        [
            (0, None),
            (1, "gzip"),
            (2, "snappy"),
            (3, "lz4"),
            (4, "zstd"),
            ("GZIP", "gzip"),
            ("none", None),
        ],
    )
    def test_compression_may_be_kafkajss_number(self, given_form, name):
        assert KafkaOptions.of({"send": {"compression": given_form}}).send.compression == name

    @pytest.mark.parametrize("compression", [5, -1, True, "deflate", 1.0, ["gzip"]])
    def test_unknown_compression_is_an_error(self, compression):
        assert "send.compression must be" in error_of({"send": {"compression": compression}})

    @pytest.mark.parametrize(("acks", "stored"), [(-1, "all"), ("ALL", "all"), (0, 0), (1, 1)])
    def test_acks_of_minus_one_means_all(self, acks, stored):
        assert KafkaOptions.of({"send": {"acks": acks}}).send.acks == stored

    @pytest.mark.parametrize("acks", [2, True, "1", None, 1.0])
    def test_other_acks_are_an_error(self, acks):
        assert 'send.acks must be "all", -1, 0 or 1' in error_of({"send": {"acks": acks}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"consumer": {"sessionTimeout": 6_000, "heartbeatInterval": 6_000}},
            "consumer.heartbeat_interval_ms (6,000) must be less than session_timeout_ms (6,000)",
        ),
        (
            {"consumer": {"rebalanceTimeout": 10_000}},
            "consumer.max_poll_interval_ms (10,000) must be at least session_timeout_ms (30,000)",
        ),
        (
            {"consumer": {"minBytes": 2, "maxBytes": 1}},
            "consumer.fetch_min_bytes (2) must be at most fetch_max_bytes (1)",
        ),
        (
            {"consumer": {"maxWaitTimeInMs": 30_000}},
            "consumer.fetch_max_wait_ms (30,000) must be less than client.request_timeout_ms",
        ),
        (
            {"run": {"rebalance_timeout_ms": 15_000}},
            "run.rebalance_timeout_ms (15,000) must be less than half of consumer.session_timeou",
        ),
        (
            {"run": {"retry_backoff_ms": 2, "retry_backoff_max_ms": 1}},
            "run.retry_backoff_max_ms (1) must be at least run.retry_backoff_ms (2)",
        ),
        (
            {"client": {"retry": {"maxRetryTime": 1}}},
            "client.retry.max_retry_time_ms (1) must be at least initial_retry_time_ms (300)",
        ),
        (
            {"producer": {"batch_size": 2, "buffer_memory": 1}},
            "producer.buffer_memory (1) must be at least batch_size (2)",
        ),
        ({"reply": {"partition": 0}}, 'reply.partition needs mode = "direct"'),
        (
            {"run": {"autoCommit": False, "autoCommitThreshold": 5}},
            "run.auto_commit_threshold cannot be honoured with auto_commit = False",
        ),
        (
            {"run": {"autoCommit": False, "autoCommitInterval": 1_000}},
            "run.auto_commit_interval_ms cannot be honoured with auto_commit = False",
        ),
    ],
)
def test_options_that_do_not_go_together_are_an_error(options, message):
    assert error_of(options).startswith(message)


@pytest.mark.parametrize("instance_id", ["", "..", "a b", "a" * 250, "a/b"])
def test_an_instance_id_that_brokers_refuse_is_an_error(instance_id):
    assert "consumer.group_instance_id must be 1 to 249" in error_of(
        {"consumer": {"groupInstanceId": instance_id}}
    )


@pytest.mark.parametrize("native", [None, [], "{}", {1: 2}])
def test_native_settings_are_a_mapping_of_names(native):
    assert error_of({"consumer": {"native": native}}).startswith("consumer.native must ")


@pytest.mark.parametrize("multiplier", [0.5, float("nan"), float("inf"), "2", True])
def test_a_multiplier_that_does_not_grow_is_an_error(multiplier):
    assert "client.retry.multiplier must be a number" in error_of(
        {"client": {"retry": {"multiplier": multiplier}}}
    )
