"""Times of events that do not exist in UTC: only a manipulated event has them.

A time with an offset in the first or last year of the calendar may lie outside it in UTC. Every
reader converts times, so such an event counts as unreadable.
"""

from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import get_args, get_type_hints

import msgspec

from contracts.events import EVENT_TYPES, ImportEvent, Source


def _times_of(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    hints = get_type_hints(struct).items()
    return tuple(name for name, hint in hints if datetime in (hint, *get_args(hint)))


_TIMES = {kind: _times_of(kind) for kind in (*EVENT_TYPES.values(), Source)}
_WITH_SOURCE = frozenset(
    kind for kind in EVENT_TYPES.values() if "source" in kind.__struct_fields__
)


def require_calendar(fact: ImportEvent | Source) -> None:
    """Raise `ValueError` for a time that does not exist in UTC."""
    kind = type(fact)
    for name in _TIMES[kind]:
        time: datetime | None = getattr(fact, name)
        if time is not None and time.year in (MINYEAR, MAXYEAR):
            try:
                time.astimezone(UTC)
            except OverflowError:
                raise ValueError(f"its {name} is outside the calendar") from None
    if kind in _WITH_SOURCE and (source := getattr(fact, "source", None)) is not None:
        require_calendar(source)
