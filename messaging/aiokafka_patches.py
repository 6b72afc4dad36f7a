r"""What aiokafka's fetcher cannot do, mended for the consumers of this process (ADR 0009).

Two kinds of data would stop a whole consumer, or lose what was fetched beside them:

- The name of a header that is not UTF-8. It is read all the same, each wrong byte as `\xff`.
- A batch that cannot be read, such as one with a wrong checksum. Its partition stands still before
  it, fetches it again, and says so once; the records before it and other partitions go on.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from contracts.error_text import describe_error
from messaging.backoff import log_failing, log_working

_AGAIN_SECONDS = 1.0
"""After so long a batch that cannot be read is fetched again."""


def mend() -> None:
    """Have every consumer of this process read what comes. Safe to call again."""
    fetcher.MemoryRecords = _Records
    fetcher.FetchResult = _FetchResult


class _Text(bytearray):
    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _Buffer(bytearray):
    """Bytes of which every part can be decoded."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Text(found) if isinstance(found, bytearray) else found


class _PatientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka is untyped
    """Reads names of any bytes; slowly, since it is not compiled."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Batch:
    """A compiled batch; from the first name on that it cannot read, a patient one."""

    def __init__(self, compiled: DefaultRecordBatch, piece: memoryview) -> None:
        self._compiled = compiled
        self._piece = piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    def __next__(self) -> Any:
        return next(self._compiled)

    def __iter__(self) -> Iterator[Any]:
        number = 0
        try:
            for record in self._compiled:
                yield record
                number += 1
        except UnicodeDecodeError:
            yield from islice(_PatientBatch(self._piece), number, None)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """What was fetched of a partition, batch by batch."""

    def next_batch(self) -> Any:
        piece = self._next_slice
        batch = super().next_batch()
        return _Batch(batch, piece) if isinstance(batch, DefaultRecordBatch) else batch


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """What was fetched of a partition, for the consumer to take."""

    _failed_at: float | None = None
    _partition_records: Iterator[ConsumerRecord] | None

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord]:
        """The records up to `max_records`, or up to what cannot be read.

        aiokafka's own raises there, after the consumer has moved past what other partitions had
        given it for the same answer: that would be passed over.
        """
        if self._failed_at is not None:
            if time.monotonic() > self._failed_at + _AGAIN_SECONDS:
                self._partition_records = None  # so it is fetched again
            return []
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        what = f"fetching {self._topic_partition.topic}/{self._topic_partition.partition}"
        taken: list[ConsumerRecord] = []
        try:
            for record in islice(self._partition_records, max_records):
                taken.append(record)  # noqa: PERF402 (it counts although the next one fails)
        except Exception as error:
            log_failing(what, describe_error(error))
            self._failed_at = time.monotonic()
            if taken:
                self._update_position()
            return taken
        log_working(what)
        self._update_position()
        if max_records is None or len(taken) < max_records:
            self._partition_records = None
        return taken
