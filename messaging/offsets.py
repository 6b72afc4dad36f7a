"""Which offset of a partition may be committed while its records are worked on in any order."""


class OpenOffsets:
    """The offsets of one partition that are in hand.

    A committed offset is a promise that every record below it has been dealt with. So it is that
    of the oldest record still in hand, or the one after the newest taken if none is.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> None:
        """A record is in hand now."""
        self._open.add(offset)
        self._next = offset + 1

    def end(self, offset: int) -> None:
        """A record has been dealt with."""
        self._open.discard(offset)

    @property
    def are_open(self) -> bool:
        """Whether a record is in hand."""
        return bool(self._open)

    @property
    def due(self) -> int | None:
        """The offset to commit now; None if that has been committed, or nothing was taken."""
        due = min(self._open, default=self._next)
        return None if due == self._committed else due

    def committed(self, offset: int) -> None:
        """The broker has this offset."""
        self._committed = offset
