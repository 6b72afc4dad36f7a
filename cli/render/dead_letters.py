"""Dead letters as a table or JSON. Text that others wrote is masked first."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.masking import body_text, masked, masked_bytes
from contracts.instants import utc_text
from contracts.messages import parse_api_id
from messaging.dead_letters.fold import DeadLetter, Resolution
from messaging.dead_letters.records import OURS
from messaging.raw_record import RawRecord

_DUMPED = 256
"""Bytes shown of a body that is no text."""
_LONGEST_CELL = 40


def as_row(letter: DeadLetter) -> dict[str, object]:
    """A letter for machines, without its body; times in UTC, sizes in bytes."""
    return {
        "letter": str(letter.name),
        "copies": [str(name) for name in letter.copies],
        "first_received": _time(letter.first_received_ms),
        "set_aside": _time(letter.dead_lettered_ms),
        "reason": masked(letter.reason, words=True),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": _field(letter.key),
        "size": letter.size,
        "truncated": letter.truncated,
        "fates": [_resolution(resolution) for resolution in letter.resolutions],
    }


def as_whole(letter: DeadLetter, record: RawRecord) -> dict[str, object]:
    """A letter for machines with all it holds: `body` if it is text, else how `hex` begins."""
    raw = record.value
    text = body_text(raw) if raw is not None else None
    dumped = masked_bytes(raw or b"")[:_DUMPED] if text is None else None
    headers = [[masked(name, words=True), _field(v)] for name, v in _theirs(record)]
    return as_row(letter) | {
        "headers": headers,
        "body": text,
        "hex": dumped.hex(" ") if dumped is not None else None,
    }


def show_table(console: Console, letters: Sequence[DeadLetter], *, everything: bool) -> None:
    """Letters, one a row; with `everything` also what became of them."""
    if not letters:
        console.print("No dead letters." if everything else "No open dead letters.")
        return
    shown = Table(box=None, pad_edge=False)
    shown.add_column("letter", no_wrap=True)
    shown.add_column("first received", no_wrap=True)
    shown.add_column("reason", overflow="fold")
    shown.add_column("from", overflow="fold")
    shown.add_column("bytes", justify="right", no_wrap=True)
    shown.add_column("key", overflow="fold")
    if everything:
        shown.add_column("what became of it", overflow="fold")
    for letter in letters:
        row = [
            str(letter.name),
            _time(letter.first_received_ms).replace("T", " "),
            _printable(masked(letter.reason, words=True)),
            _printable(_where(letter)),
            f"{letter.size:,}",
            _printable(_short(_field(letter.key) or "")),
        ]
        if everything:
            row.append(_printable(_last(letter.resolutions)))
        shown.add_row(*map(escape, row))
    console.print(shown)


def show_letter(console: Console, letter: DeadLetter, record: RawRecord) -> None:
    """Everything about one letter."""
    told = as_whole(letter, record)
    about = {
        "letter": str(letter.name),
        "reason": told["reason"],
        "first received": told["first_received"],
        "set aside": told["set_aside"],
        "from": _where(letter),
        "key": told["key"] if letter.key is not None else "none",
        "size": f"{letter.size:,} bytes"
        + (", of which only the beginning is kept" if letter.truncated else ""),
    }
    if letter.copies:
        about["also at"] = ", ".join(map(str, letter.copies))
    lines = [f"{name:<16}{value}" for name, value in about.items()]
    lines += [
        f"{known.outcome:<16}{_time(known.at_ms)}  {masked(known.reason, words=True)}"
        for known in letter.resolutions
    ]
    lines += [
        f"header          {masked(name, words=True)}: {_field(value)}"
        for name, value in _theirs(record)
    ]
    for line in lines:
        _plain(console, line)
    console.print()
    if told["body"] is not None:
        _plain(console, str(told["body"]))
    elif record.value:
        _plain(console, _dump(masked_bytes(record.value)[:_DUMPED]))
    else:
        console.print("(no body)")


def _plain(console: Console, text: str) -> None:
    console.print(_printable(text), markup=False, highlight=False, soft_wrap=True)


def _theirs(record: RawRecord) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in record.headers if name not in OURS]


def _where(letter: DeadLetter) -> str:
    return f"{letter.topic}/{letter.partition}@{letter.offset}" if letter.topic else "unknown"


def _resolution(resolution: Resolution) -> dict[str, str]:
    reason = masked(resolution.reason, words=True)
    return {"fate": resolution.outcome, "reason": reason, "at": _time(resolution.at_ms)}


def _last(resolutions: Sequence[Resolution]) -> str:
    return (
        f"{resolutions[-1].outcome}: {masked(resolutions[-1].reason, words=True)}"
        if resolutions
        else "open"
    )


def _field(value: bytes | None) -> str | None:
    """A key or the value of a header."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return masked_bytes(value).decode("ascii", errors="backslashreplace")
    return masked(text, words=parse_api_id(text) is None)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"


def _time(ms: int) -> str:
    try:
        return utc_text(datetime.fromtimestamp(ms / 1000, UTC), "seconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # a sender's claim, beyond the calendar


def _printable(text: str) -> str:
    """Text that steers no terminal: control characters are written out."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def _dump(raw: bytes) -> str:
    """Sixteen bytes a line: offset, hexadecimal, characters."""
    lines = []
    for start in range(0, len(raw), 16):
        piece = raw[start : start + 16]
        characters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{start:08x}  {piece.hex(' '):<47}  {characters}")
    return "\n".join(lines)
