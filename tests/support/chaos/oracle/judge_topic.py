"""Checks the events that subscribers receive."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from tests.support.chaos.oracle.log import Event, Log
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.topic import Record, Topic


def judge_committed(topic: Topic, log: Log, findings: Findings) -> None:
    """Check that readers of committed data get every event once, in order per key."""
    published = Counter(record.id for record in topic.records)
    by_id = {event.message_id: event for event in log.events}
    last = max(log.relayed, *(record.position for record in topic.records), 0)
    for event in log.events:
        if not published[event.message_id]:
            kind = "lost" if event.position <= last else "unended"
            findings.add(kind, f"position {event.position} ({event.type}) is not on the topic")
    for message_id, times in published.items():
        if times > 1:
            findings.add("repeated", f"event {message_id} is on the topic {times} times")
    for record in topic.records:
        _compare(record, by_id.get(record.id), findings)
    keys: dict[bytes | None, list[Record]] = defaultdict(list)
    for record in topic.records:
        keys[record.key].append(record)
    for key, records in keys.items():
        _judge_order(key, records, findings)


def judge_uncommitted(topic: Topic, log: Log, findings: Findings) -> None:
    """Check that readers of uncommitted data get no record that is not an event."""
    known = {event.message_id for event in log.events}
    strangers = {record.id for record in topic.records} - known
    findings.add("differing", *(f"event {one} is on the topic only" for one in strangers))


def judge_dead_letters(
    poison: Mapping[tuple[int, int], bytes],
    letters: Topic,
    done: Mapping[int, int],
    findings: Findings,
) -> None:
    """Check that each unreadable record is a dead letter, at least once, byte for byte.

    Args:
        poison: by partition and offset, what was published there.
        letters: the dead letters.
        done: by partition, the offset that the workers have committed.
        findings: gets what is wrong.
    """
    kept = {
        (int(r.headers["spreaview-partition"]), int(r.headers["spreaview-offset"])): r.value
        for r in letters.records
    }
    for (partition, offset), value in poison.items():
        if (partition, offset) not in kept:
            kind = "lost" if offset < done.get(partition, 0) else "unended"
            findings.add(kind, f"{partition}@{offset} is not in the dead letters")
        elif kept[partition, offset] != value:
            findings.add("differing", f"the dead letter of {partition}@{offset} is another")
    for partition, offset in kept.keys() - poison.keys():
        findings.add("differing", f"{partition}@{offset} could be read, and is a dead letter")


def judge_offsets(
    group: str, ends: Mapping[int, int], done: Mapping[int, int], findings: Findings
) -> None:
    """Check that a group has processed every record."""
    for partition, end in ends.items():
        if done.get(partition, 0) < end:
            at = done.get(partition, 0)
            findings.add("unended", f"{group} stands at {partition}@{at}, the end is {end}")


def _compare(record: Record, event: Event | None, findings: Findings) -> None:
    if event is None:
        findings.add("differing", f"event {record.id} is on the topic, not in the log")
        return
    told = (UUID((record.key or b"").decode()), record.position, record.version)
    if told != (event.stream_id, event.position, event.version):
        findings.add("differing", f"event {record.id} has other headers than the log says")
    if json.loads(record.value or b"null") != event.data:
        findings.add("differing", f"event {record.id} says something else than the log")


def _judge_order(key: bytes | None, records: Sequence[Record], findings: Findings) -> None:
    """Check a key: one partition, and first deliveries in stream order without holes.

    A repetition is counted elsewhere; here it must not take the place of what comes next.
    """
    name = (key or b"").decode()
    if len({record.partition for record in records}) > 1:
        findings.add("inverted", f"key {name} is in several partitions")
    expected = 1
    highest = 0
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        if record.version > expected:
            findings.add("inverted", f"key {name}: {record.version} came before {expected}")
        if record.version >= expected:
            if record.position <= highest:
                findings.add("inverted", f"key {name}: position {record.position} goes back")
            expected = record.version + 1
            highest = record.position
