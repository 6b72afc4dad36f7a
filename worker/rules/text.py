"""The text rule: how a text from Sessionize or a request is cleaned for SpreaView."""

import re
import unicodedata
from functools import cache

MAX_FIELD_BYTES = 64 * 1024
"""Largest field in UTF-8; a longer one cannot be read."""
MAX_MARKS = 100
"""Most combining marks in a row. No language needs ten; normalising orders them by pairs."""
_MOST_SHRINKING = 3
"""NFC makes a text at most this much shorter in UTF-8."""

# All control characters except tab and line breaks; lone surrogates; zero-width space, word joiner,
# byte order mark; the two bidi overrides. Joiners and variation selectors stay: emoji consist of
# them.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\u200b\u2060\ufeff\u202d\u202e]+"
)
_CONTROLS = re.compile("[\x0b\x0c\r\x85]")
"""The line breaks that are control characters, without the newline: VT, FF, CR and NEL."""
_BREAKS = re.compile("[\x0b\x0c\r\x85\u2028\u2029]")
"""All line breaks but the newline."""

_LONG_FIELDS = frozenset({"abstract", "bio"})
_TITLE_FIELDS = frozenset(
    {
        *("title", "name", "first_name", "last_name", "full_name", "tag_line", "requested_by"),
        *("category", "topic"),
    }
)


class UnreadableTextError(ValueError):
    """A text of more than `MAX_FIELD_BYTES`, or with more than `MAX_MARKS` marks in a row."""


def clean(text: str) -> str:
    """Return an id, a link or another text of one word, as SpreaView shows it. Idempotent.

    Raises:
        UnreadableTextError: the cleaned text exceeds a limit.
    """
    return _clean(text, _CONTROLS, "")


def clean_title(text: str) -> str:
    """Return a title or a name as SpreaView shows it: line breaks are spaces. Raises as `clean`.

    Newlines stay, and CRLF is a newline.
    """
    return _clean(text, _BREAKS, " ")


def clean_lines(text: str) -> str:
    """Return a long text as SpreaView shows it: line breaks are newlines. Raises as `clean`."""
    return _clean(text, _BREAKS, "\n")


def _is_plain(text: str) -> bool:
    """Whether the rules replace nothing but CRLF in a text, as in most.

    What they drop or replace is not printable, in any version of Unicode.
    """
    return text.isprintable() or text.replace("\r\n", "").replace("\n", "").isprintable()


def _clean(text: str, breaks: re.Pattern[str], instead: str) -> str:
    if not _is_plain(text):
        text = breaks.sub(instead, _DROPPED.sub("", text).replace("\r\n", "\n"))
    elif "\r" in text:
        text = text.replace("\r\n", "\n")
    text = text.strip()
    if not text.isascii():
        _refuse_over(text, MAX_FIELD_BYTES * _MOST_SHRINKING)
        if _too_many_marks().search(text):
            raise UnreadableTextError(f"a text has more than {MAX_MARKS} combining marks in a row")
        text = unicodedata.normalize("NFC", text).strip()
    _refuse_over(text, MAX_FIELD_BYTES)
    return text


def _refuse_over(text: str, limit: int) -> None:
    if len(text) * 4 > limit and len(text.encode()) > limit:
        most = f"{MAX_FIELD_BYTES // 1024} KiB"
        raise UnreadableTextError(f"a text of {len(text.encode())} bytes exceeds {most}")


@cache
def _too_many_marks() -> re.Pattern[str]:
    """Of all characters that normalising moves: marks, and three that consist of them."""
    marks = [mark for mark in map(chr, range(0x20000)) if unicodedata.combining(mark)]
    return re.compile(f"[{''.join(marks)}\u0f73\u0f75\u0f81]{{{MAX_MARKS + 1},}}")


def clean_field(name: str, text: str) -> str:
    """Clean a text by the rule for the field `name` of a contract. Raises as `clean`."""
    if name in _LONG_FIELDS:
        return clean_lines(text)
    return clean_title(text) if name in _TITLE_FIELDS else clean(text)
