"""Variables of the environment that look like our settings and are none."""

import difflib
import os
from collections.abc import Iterator

from cli.settings import PREFIX, SECRETS, Settings

_FOR_TESTS = f"{PREFIX}TEST_"
_MOST_DIFFERENT = 0.6


def known_variables() -> list[str]:
    """Return the names of all variables that are read."""
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    return [*names, *(f"{PREFIX}{name.upper()}_FILE" for name in SECRETS)]


def unknown_settings() -> Iterator[str]:
    """Yield a sentence for each variable with our prefix that is not read, with the nearest known.

    They are ignored and not refused: processes of several versions may share an environment, as
    in a rolling update. A value is never in a sentence.
    """
    known = known_variables()
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name.startswith(_FOR_TESTS) or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=_MOST_DIFFERENT)
        meant = f"; did you mean {near[0]}?" if near else ""
        yield f"{name} is not a setting and is ignored{meant}"
