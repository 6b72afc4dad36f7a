"""Variables of the environment with our prefix that are not settings."""

import difflib
import os
from collections.abc import Iterator

from cli.settings import PREFIX, SECRETS, Settings

_FOR_TESTS = f"{PREFIX}TEST_"
_FOR_EXAMPLES = frozenset({f"{PREFIX}HTTP", f"{PREFIX}KAFKA", f"{PREFIX}TOKEN"})
"""Read by the programs of `examples/`, in the terminal that also runs our commands."""
_LEAST_SIMILAR = 0.6
"""A name that is less similar is not suggested; 1 is equal."""


def known_variables() -> list[str]:
    """Return the names of all variables that are read."""
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    return [*names, *(f"{PREFIX}{name.upper()}_FILE" for name in SECRETS)]


def unknown_settings() -> Iterator[str]:
    """Yield a sentence for each variable with our prefix that is not read, with the nearest known.

    They are ignored and not refused: processes of several versions may share an environment, as
    in a rolling update. A value is never in a sentence.
    """
    known = [name.removeprefix(PREFIX) for name in known_variables()]
    for name in sorted(os.environ):
        rest = name.removeprefix(PREFIX)
        if rest in (name, *known) or name.startswith(_FOR_TESTS) or name in _FOR_EXAMPLES:
            continue
        near = difflib.get_close_matches(rest, known, n=1, cutoff=_LEAST_SIMILAR)
        meant = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        yield f"{name} is not a setting and is ignored{meant}"
