"""The clock of a process, set ahead by Debian's `faketime`."""

from pathlib import Path

REQUIRED = "SPREAVIEW_TEST_REQUIRE_FAKETIME"
"""If this is 1, as in CI, the test of this module does not skip."""

_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_LIBRARY = "faketime/libfaketimeMT.so.1"


def missing_library() -> str | None:
    """Return why no clock can be set ahead here; None if it can."""
    return None if _found() else "clocks ahead: install Debian's package faketime"


def ahead(offset: str) -> dict[str, str]:
    """Return the variables of a process whose clock is ahead by `offset`, such as `+3600`.

    Its monotonic clock stays as it is, as after a wrong time from the network.
    """
    library = _found()
    assert library is not None, missing_library()
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its name in some versions
    }


def _found() -> Path | None:
    for folder in _FOLDERS:
        for library in (*Path(folder).glob(f"*/{_LIBRARY}"), Path(folder) / _LIBRARY):
            if library.exists():
                return library
    return None
