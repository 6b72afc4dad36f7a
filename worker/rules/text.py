"""The text rule: how a text from Sessionize is cleaned for SpreaView."""

import re
import unicodedata

MAX_FIELD_BYTES = 64 * 1024
"""Largest field in UTF-8; a longer one makes its entity invalid."""

# All control characters except tab, newline and (until CRLF is folded) carriage return; zero-width
# space, word joiner, byte order mark; the two bidi overrides. Joiners and variation selectors
# stay: emoji consist of them.
_DROPPED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\u202d\u202e]+")


class FieldTooLongError(ValueError):
    """A text of more than 64 KiB."""


def clean(text: str) -> str:
    """Return the text as SpreaView shows it. Idempotent.

    Raises:
        FieldTooLongError: the cleaned text exceeds 64 KiB in UTF-8.
    """
    text = _DROPPED.sub("", text).replace("\r\n", "\n").replace("\r", "")
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) * 4 > MAX_FIELD_BYTES and len(text.encode()) > MAX_FIELD_BYTES:
        raise FieldTooLongError(f"a text of {len(text.encode())} bytes exceeds 64 KiB")
    return text


def clean_optional(text: str | None) -> str | None:
    """Apply `clean`; None stays None."""
    return None if text is None else clean(text)
