"""The folder of a sandbox: made if it is missing, and one `up` at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.settings import SettingsError

_LOCK = "up.lock"
"""Locked by a running `up`. The kernel releases the lock when that process ends in any way."""
_ELSEWHERE = "set SPREAVIEW_DATA_DIR to another folder"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Own the folder while the block runs; it is made if it is missing.

    Raises:
        SettingsError: another `up` runs on it, or it cannot be used.
    """
    with usable(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(lock, fcntl.LOCK_EX):
            raise SettingsError(
                f"a sandbox is running on {data_dir} already. Remedy: stop it, or {_ELSEWHERE}"
            )
        yield
    finally:
        os.close(lock)


def is_claimed(data_dir: Path) -> bool:
    """Return whether an `up` of any user runs on the folder."""
    try:
        lock = os.open(data_dir / _LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return (data_dir / _LOCK).exists()
    try:
        return not _take(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


@contextmanager
def usable(data_dir: Path) -> Iterator[None]:
    """Raise `SettingsError` with the remedy where the block cannot use the folder."""
    try:
        yield
    except OSError as error:
        remedy = "free some space" if error.errno in _FULL else "make it writable for this user"
        where = error.filename if error.filename is not None else data_dir
        raise SettingsError(
            f"the data folder cannot be used: {where}: {error.strerror}. Remedy: {remedy}, or "
            f"{_ELSEWHERE}"
        ) from error


def _take(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
