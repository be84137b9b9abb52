"""Records that are poison, or large."""

from __future__ import annotations

import pytest

from kafka_patterns import ClientKafkaProxy
from tests.support.waiting import eventually

DEEP = b"[" * 100_000
DEEP_AND_CLOSED = b"[" * 100_000 + b"]" * 100_000
LONG_NUMBER = b'{"sequence":' + b"9" * 1_000_000 + b"}"
NOT_UTF_8 = b"\xff\xfe\x00"
POISON: list[bytes | None] = [
    NOT_UTF_8,
    DEEP,
    DEEP_AND_CLOSED,
    LONG_NUMBER,
    b'{"sequence":NaN}',
    b"{",
    b"\x00",
]
POISON += [b"", None, b'{"sequence":"0"}', b"x" * 5_000_000]
HEADERS: list[list[tuple[str, bytes | None]]] = [
    [],
    [("", b"\x00\xff"), ("kafka_correlationId", b"\xff\xfe"), ("deep", DEEP), ("null", None)],
    [("kafka_replyTopic", b"\xff/\x00"), ("kafka_correlationId", None), ("retryCount", b"\xff")],
]
LARGE = 10_000_000
ROOM = 11_000_000
PATIENCE = 60.0


@pytest.mark.parametrize("on_poison", ["skip", "hold"])
def test_poison_harms_no_other_record(make_scenario, kafka, on_poison):
    scenario = make_scenario(f"poison, on_poison = {on_poison}", kafka)
    run = {
        **scenario.options()["run"],
        "on_poison": on_poison,
        "retry_backoff_ms": 20,
        "retry_backoff_max_ms": 1_000,
        # Poison that is held takes room: each partition's part has to be larger than its poison.
        "max_in_flight": 1_000,
        "max_in_flight_bytes": 200_000_000,
    }
    worker = scenario.start_worker(options=scenario.options(run=run), count_health=True)
    poison = 0
    for value in POISON:
        for headers in HEADERS:
            for key in (b"", b"\xff\xfe", f"poison-{poison}".encode()):
                scenario.load.produce_raw(value, key=key, headers=headers, partition=poison % 4)
                poison += 1
            scenario.load.produce(20)

    scenario.wait_until_handled()
    assert worker.is_running
    if on_poison == "hold":
        # The good ones were finished all the same; a server that skips ends the wait.
        scenario.drain(worker)
        committed = sum(scenario.group.committed().values())
        assert committed < poison + len(scenario.load.produced)
        run["on_poison"] = "skip"
        worker = scenario.start_worker(options=scenario.options(run=run), count_health=True)
    skipped = eventually(
        lambda: scenario.counter(worker, "poison_skipped") == poison, PATIENCE, describe="skips"
    )
    scenario.drain(worker)
    ends = scenario.group.committed()
    assert sum(ends.values()) == poison + len(scenario.load.produced)
    scenario.conclude(fact=f"{poison} poisonous records")
    assert skipped


def test_messages_of_ten_megabytes(make_scenario, kafka, scale):
    scenario = make_scenario("messages of 10 MB", kafka)
    kafka.create_topic(f"{scenario.topic}.reply", 1)
    sizes = {
        "producer": {"max_request_size": ROOM, "buffer_memory": 4 * ROOM},
        "consumer": {
            **scenario.options()["consumer"],
            "max_partition_fetch_bytes": ROOM,
            "fetch_max_bytes": 2 * ROOM,
        },
    }
    worker = scenario.start_worker(options=scenario.options(**sizes), replies=True)
    scenario.load.produce(scale.large_messages, padding="x" * LARGE)

    options = scenario.options(**sizes)
    client = ClientKafkaProxy(options)
    client.subscribe_to_response_of(scenario.topic)
    with client:
        request = {"sequence": -1, "padding": "x" * LARGE, "reply_bytes": LARGE}
        for _ in range(scale.large_messages):
            reply = client.send(scenario.topic, request, timeout=PATIENCE)
            assert len(reply["text"]) == LARGE
    scenario.wait_until_handled()
    scenario.drain(worker)
    scenario.conclude(fact=f"and {scale.large_messages} requests with such replies")
