"""The limits on what a consumer has in flight: the number of records, and their bytes."""

from messaging.raw_record import RawRecord


class InFlight:
    """Counts the records that were taken and have not ended, and their bytes.

    A consumer pauses while it `is_full`, and resumes when it `has_room`: the gap between the two
    keeps it from pausing and resuming for every record. A record is counted after it was taken, so
    one that is larger than the limit is still handled, and nothing is taken after it until it ends.

    Args:
        max_records: with this many, it is full.
        max_bytes: the same for the sum of their keys, values and headers.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self.records = 0
        self.bytes = 0

    def add(self, record: RawRecord) -> None:
        """Count a record that was taken."""
        self.records += 1
        self.bytes += size_of(record)

    def remove(self, record: RawRecord) -> None:
        """Count a record that has ended."""
        self.records -= 1
        self.bytes -= size_of(record)

    @property
    def is_full(self) -> bool:
        """Whether one of the limits is reached."""
        return self.records >= self._max_records or self.bytes >= self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether no more than half of each limit is used."""
        return self.records <= self._max_records // 2 and self.bytes <= self._max_bytes // 2


def size_of(record: RawRecord) -> int:
    """The bytes of a record: key, value and headers."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
