"""The file that a command's `--output` names. It holds personal data: only its owner may read it.

- `-` is standard output.
- A device, a pipe or an open descriptor such as `/dev/fd/3` is written into, never replaced.
- A file is replaced as a whole, or extended. Symbolic links are followed, and stay.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from cli.errors import CommandError

STANDARD_OUTPUT = Path("-")

Opener: TypeAlias = Callable[[], int]
"""Opens a descriptor for writing."""

_STDOUT = 1
_NAME_OF_STDOUT = "standard output"
_MAX_LINKS = 40
_OWNER_ONLY = 0o600
_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY


class OutputFile:
    """An open output. Its errors are sentences that name the output and the cause."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, content: bytes) -> None:
        """Write bytes. Raises `CommandError`."""
        with _naming(self._name):
            self._file.write(content)

    def write_text(self, content: str) -> None:
        """Write a text in UTF-8, visible to readers immediately. Raises `CommandError`."""
        self.write(content.encode())
        self.finish()

    def finish(self, *, to_disk: bool = False) -> None:
        """Write what is buffered, and wait for the disk if asked to. Raises `CommandError`."""
        with _naming(self._name):
            self._file.flush()
            if to_disk:
                os.fsync(self._file.fileno())


class _Target(NamedTuple):
    """The end of all symbolic links."""

    path: Path
    descriptor: int | None
    """The number of an open descriptor of this process, if the path names one."""

    @property
    def is_file(self) -> bool:
        return self.descriptor is None and self.path.is_file()

    @property
    def is_new(self) -> bool:
        return self.descriptor is None and not self.path.exists()


def is_standard_output(path: Path | None) -> bool:
    """Whether an output is standard output: None, `-` or a name such as `/dev/stdout`."""
    return path is None or path == STANDARD_OUTPUT or _target(path).descriptor == _STDOUT


def existing_file(path: Path) -> Path | None:
    """The regular file that an output would replace or extend; None if there is none."""
    if is_standard_output(path):
        return None
    target = _target(path)
    return target.path if target.is_file else None


@contextmanager
def output_file(
    path: Path | None, *, keep: int | None = None, size: int = 0
) -> Iterator[OutputFile]:
    """Open the output of a command; None is standard output.

        with output_file(output) as file: file.write(line)

    A file is replaced when the block ends, and left as it is if the block fails: until then the
    content is in a `.partial` in the same folder. With `keep`, the file is extended after this many
    of its bytes instead; `size` is the size that it had when it was read. A lock keeps other
    commands from extending it meanwhile. Afterwards only its owner may read it.

    Raises:
        CommandError: the output cannot be opened or written, or another command extends or has
            extended it; the text names it and the cause.
    """
    target = None if path is None or is_standard_output(path) else _target(path)
    if path is None or target is None:
        sys.stdout.flush()
        with _writing(lambda: os.dup(_STDOUT), _NAME_OF_STDOUT) as file:
            yield file
    elif (descriptor := target.descriptor) is not None:
        with _writing(lambda: os.dup(descriptor), str(path)) as file:
            yield file
    elif not (target.is_file or target.is_new):
        with _writing(lambda: os.open(target.path, _WRITE), str(path)) as file:
            yield file
    elif keep is not None:
        with _writing(
            lambda: _open_to_extend(target.path, keep, size), str(path), to_disk=True
        ) as file:
            yield file
    else:
        with _replacing(target.path, str(path)) as file:
            yield file


@contextmanager
def _replacing(target: Path, name: str) -> Iterator[OutputFile]:
    partial = target.with_name(f"{target.name}.partial")
    if target.exists() and not os.access(target, os.W_OK):
        raise CommandError(f"{name} cannot be written: {os.strerror(errno.EACCES)}")
    with _naming(str(partial)):
        descriptor = _create(partial)
    try:
        with _writing(lambda: descriptor, name, to_disk=True) as file:
            yield file
        with _naming(name):
            partial.replace(target)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


@contextmanager
def _writing(opened: Opener, name: str, *, to_disk: bool = False) -> Iterator[OutputFile]:
    with _naming(name):
        raw = os.fdopen(opened(), "wb")
    try:
        file = OutputFile(raw, name)
        yield file
        file.finish(to_disk=to_disk)
    finally:
        with suppress(OSError):  # after an error it would try to write the rest again
            raw.close()


def _create(partial: Path) -> int:
    try:
        return os.open(partial, _WRITE | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError as error:
        raise CommandError(
            f"{partial} exists already: another command writes this file, or one was killed. "
            "Remedy: delete it if no other command writes it"
        ) from error


def _open_to_extend(path: Path, keep: int, size: int) -> int:
    descriptor = os.open(path, _WRITE | os.O_CREAT | os.O_APPEND, _OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_size != size:
            raise CommandError(f"{path} has changed meanwhile.\nRemedy: run this again")
        if stat.S_IMODE(found.st_mode) & ~_OWNER_ONLY:
            os.fchmod(descriptor, _OWNER_ONLY)
        if found.st_size > keep:
            os.ftruncate(descriptor, keep)
    except BlockingIOError as error:
        os.close(descriptor)
        raise CommandError(f"{path} cannot be written: another command writes it") from error
    except (OSError, CommandError):
        os.close(descriptor)
        raise
    return descriptor


def _target(path: Path) -> _Target:
    """Follow the symbolic links here: the kernel follows links of descriptors differently."""
    descriptors = Path(os.path.realpath("/dev/fd"))
    for _ in range(_MAX_LINKS):
        folder = Path(os.path.realpath(path.parent))
        path = folder / path.name
        if folder == descriptors and path.name.isdecimal():
            return _Target(path, int(path.name))
        if not path.is_symlink():
            return _Target(path, None)
        path = folder / path.readlink()
    raise CommandError(f"{path} cannot be written: {os.strerror(errno.ELOOP)}")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Raise `CommandError` for an error of the file; a reader of standard output may leave."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError) and name == _NAME_OF_STDOUT:
            raise
        raise CommandError(f"{name} cannot be written: {error.strerror}") from error
