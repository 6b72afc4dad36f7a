"""`--output`: files are replaced whole, everything else is written into; only the owner reads."""

import os
import stat
import threading
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.output import existing_file, is_standard_output, output_file

OTHERS = 0o077


def write(path: Path | None, content: bytes = b"new", *, keep: int | None = None) -> None:
    there = existing_file(path) if path is not None else None
    size = there.stat().st_size if there is not None else 0
    with output_file(path, keep=keep, size=size) as file:
        file.write(content)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
@pytest.mark.parametrize("before", [None, 0o644, 0o666], ids=str)
def test_a_file_ends_readable_by_its_owner_only(
    tmp_path: Path, keep: int | None, before: int | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(b"something longer")
        path.chmod(before)
    write(path, keep=keep)
    assert path.read_bytes() == b"new"
    assert mode(path) & OTHERS == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_only_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with output_file(path) as file:
            file.write(b"half")
            assert path.read_bytes() == b"old"
            (partial,) = set(tmp_path.iterdir()) - {path}
            assert (partial.name, mode(partial) & OTHERS) == ("file.partial", 0)
            raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        interrupted()
    assert [(each, each.read_bytes()) for each in tmp_path.iterdir()] == [(path, b"old")]


def test_a_partial_of_somebody_else_is_refused_and_kept(tmp_path: Path) -> None:
    """Others who have opened it would read what is written into it."""
    partial = tmp_path / "file.partial"
    partial.write_bytes(b"theirs")
    partial.chmod(0o666)
    with pytest.raises(CommandError, match=r"file\.partial exists already.*Remedy: delete it"):
        write(tmp_path / "file")
    assert (partial.read_bytes(), (tmp_path / "file").exists()) == (b"theirs", False)


def test_a_partial_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="exists already"):
        write(tmp_path / "file")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_stays_and_its_target_is_written(
    tmp_path: Path, keep: int | None, *, there: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    target, link, second = folder / "target", tmp_path / "link", tmp_path / "second"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(Path("folder") / "target")
    second.symlink_to(link)
    write(second, keep=keep)
    assert (second.is_symlink(), link.is_symlink(), target.is_symlink()) == (True, True, False)
    assert target.read_bytes() == b"new"
    assert [*folder.iterdir()] == [target]


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(CommandError, match="Too many levels of symbolic links"):
        write(tmp_path / "a")


def test_a_file_is_extended_after_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one\ntw")
    write(path, b"two\n", keep=4)
    assert path.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("before", [b"", b"one\n"], ids=["new", "there"])
def test_two_commands_never_extend_a_file_at_once(tmp_path: Path, before: bytes) -> None:
    """The second would cut off the lines that the first has written since both read the file."""
    path = tmp_path / "file"
    path.write_bytes(before)

    def extend(content: bytes) -> None:
        with output_file(path, keep=len(before), size=len(before)) as file:
            file.write(content)

    with output_file(path, keep=len(before), size=len(before)) as first:
        with pytest.raises(CommandError, match="file cannot be written: another command writes it"):
            extend(b"second\n")
        first.write(b"first\n")
    with pytest.raises(CommandError, match="file has changed meanwhile"):
        extend(b"second\n")
    assert path.read_bytes() == before + b"first\n"


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
def test_a_pipe_is_written_into_and_stays(tmp_path: Path, keep: int | None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert existing_file(pipe) is None
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe, keep=keep)
    reader.join()
    assert read == [b"new"]
    assert [*tmp_path.iterdir()] == [pipe]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_whose_reader_leaves_is_named(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()

    def late() -> None:
        with output_file(pipe) as file:
            reader.join()
            file.write(b"new")

    with pytest.raises(CommandError, match="pipe cannot be written: Broken pipe"):
        late()


FULL = (1, 7)
"""Major and minor number of /dev/full."""


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
def test_a_device_is_written_into_and_stays_also_for_root(tmp_path: Path, keep: int | None) -> None:
    device = tmp_path / "full"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(*FULL))
        device.open("wb").close()
    except PermissionError:
        pytest.skip("only root may make a device, and only where devices are allowed")
    with pytest.raises(CommandError, match="full cannot be written: No space left on device"):
        write(device, keep=keep)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert [*tmp_path.iterdir()] == [device]


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
def test_a_full_disk_is_named_as_the_cause(keep: int | None) -> None:
    with pytest.raises(
        CommandError, match=r"^/dev/full cannot be written: No space left on device"
    ):
        write(Path("/dev/full"), b"x" * 100_000, keep=keep)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@pytest.mark.parametrize("name", STDOUT)
def test_a_name_of_standard_output_is_standard_output(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Here it leads to a file: replacing or truncating that would lose what is in it."""
    assert is_standard_output(Path(name))
    print("first")
    write(Path(name), b"second\n")
    write(None, b"third\n")
    assert capfdbinary.readouterr().out == b"first\nsecond\nthird\n"


def test_an_open_descriptor_is_written_into(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as opened:
        opened.write(b"first ")
        opened.flush()
        write(Path(f"/dev/fd/{opened.fileno()}"))
        assert not is_standard_output(Path(f"/dev/fd/{opened.fileno()}"))
    assert path.read_bytes() == b"first new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("keep", [None, 0], ids=["replaced", "extended"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "Is a directory"),
        ("missing/file", "No such file or directory"),
        ("/dev/fd/999", "Bad file descriptor"),
    ],
)
def test_an_output_that_cannot_be_used_is_named_with_the_cause(
    tmp_path: Path, name: str, why: str, keep: int | None
) -> None:
    with pytest.raises(CommandError, match=f"cannot be written: {why}"):
        write(tmp_path / name, keep=keep)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_is_protected_stays(tmp_path: Path) -> None:
    path = tmp_path / "seals"
    path.write_bytes(b"evidence")
    path.chmod(0o400)
    with pytest.raises(CommandError, match="seals cannot be written: Permission denied"):
        write(path)
    assert path.read_bytes() == b"evidence"
