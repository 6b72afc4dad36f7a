"""Finds the offset to commit while the records of a partition are processed in any order."""


class OpenOffsets:
    """The offsets of one partition whose records are in flight.

    A committed offset promises that every record below it has been processed. So the offset to
    commit is the oldest one in flight or, without any in flight, the one after the newest taken.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._waiting: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> None:
        """Note that a record is in flight."""
        self._open.add(offset)
        self._waiting.add(offset)
        self._next = offset + 1

    def start(self, offset: int) -> None:
        """Note that work on a record has begun."""
        self._waiting.discard(offset)

    def end(self, offset: int) -> None:
        """Note that a record has been processed."""
        self._open.discard(offset)
        self._waiting.discard(offset)

    @property
    def are_open(self) -> bool:
        """Whether any record is in flight."""
        return bool(self._open)

    @property
    def oldest_waits(self) -> bool:
        """Whether work on the oldest record in flight has not begun."""
        return bool(self._open) and min(self._open) in self._waiting

    @property
    def due(self) -> int | None:
        """The offset to commit; None if it is committed already, or if nothing was taken."""
        due = min(self._open, default=self._next)
        return None if due == self._committed else due

    def committed(self, offset: int) -> None:
        """Note that the broker has committed this offset."""
        self._committed = offset
