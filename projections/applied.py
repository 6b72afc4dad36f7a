"""The positions that a projector has applied, so that a late signal costs no transaction."""

from collections import OrderedDict
from collections.abc import Mapping
from uuid import UUID

_STREAMS = 10_000
"""Streams that are remembered: those that moved last."""


class AppliedPositions:
    """The last applied position of each stream that this process has moved.

    It only saves work. The applied versions in the database are the truth, and the sweep finds
    each stream that lags.
    """

    def __init__(self) -> None:
        self._positions: OrderedDict[UUID, int] = OrderedDict()

    def note(self, positions: Mapping[UUID, int]) -> None:
        """Remember positions whose transaction has been committed."""
        for stream_id, position in positions.items():
            self._positions[stream_id] = position
            self._positions.move_to_end(stream_id)
        while len(self._positions) > _STREAMS:
            self._positions.popitem(last=False)

    def has(self, stream_id: UUID, position: int | None) -> bool:
        """Return whether the event of a stream at a position is known to be applied."""
        return position is not None and position <= self._positions.get(stream_id, 0)
