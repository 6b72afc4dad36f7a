"""Masks foreign text before it is shown: asterisks replace everything like a Sessionize API ID.

The rule prefers caution to precision: a word that could be an ID is masked even if it is not one.
The length of the text stays the same.
"""

import json
import re
from zoneinfo import available_timezones

from contracts.messages import mask_api_id

_NAME = re.compile(r"api[_\- ]?id", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(sessionize\.com\\?/api\\?/(?:v2\\?/)?)([^\s/?#\"'<>\\]+)", re.IGNORECASE | re.ASCII
)
_NAMED = re.compile(
    r"(api[_\- ]?id[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)", re.IGNORECASE | re.ASCII
)
# A word may also begin after an escape that ends in a letter or digit.
_WORD = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4})|(?<=%[0-9a-f]{2})"
    r"|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm))(?P<id>[A-Za-z0-9]{8,12})(?![A-Za-z0-9])"
    r"(?P<field>(?=\w*[\"']?\s*[:=]))?",
    re.IGNORECASE | re.ASCII,
)
_WIDE_WORD = re.compile(rb"(?:[A-Za-z0-9]\x00){8,}|(?:\x00[A-Za-z0-9]){8,}")
_KNOWN = frozenset({"sessionize"})
_SHORTEST = 8


def masked(text: str, *, words: bool = False) -> str:
    """The text with every possible API ID masked after its first two characters.

    UUIDs are kept, and field names too unless they mix letters and digits.

    Args:
        text: any text from any source.
        words: the text is prose: letters alone are a word, digits alone a number, and both are
            kept.
    """
    text = _ADDRESS.sub(lambda m: m[1] + _star(m[2]), text)
    text = _NAMED.sub(lambda m: m[1] + _star_quoted(m[2]), text)

    def star_word(match: re.Match[str]) -> str:
        word = match["id"]
        if word is None or word.lower() in _KNOWN:
            return match[0]
        plain = word.isalpha() or word.isdigit()
        return match[0] if plain and (words or match["field"] is not None) else mask_api_id(word)

    return _WORD.sub(star_word, text)


def masked_bytes(raw: bytes) -> bytes:
    """The binary data, of the same length, with every possible API ID masked."""
    starred = _WIDE_WORD.sub(lambda m: b"*" * len(m[0]), raw)
    return masked(starred.decode("latin-1")).encode("latin-1", errors="replace")


def body_text(raw: bytes) -> str | None:
    """A masked body: JSON reformatted, other text unchanged; None if the body is not text."""
    if b"\x00" in raw:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    try:
        return json.dumps(_walk(json.loads(text), secret=False), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return masked(text)


def _walk(value: object, *, secret: bool) -> object:
    """A JSON value with masked strings; under the name of an API ID every scalar is masked."""
    if isinstance(value, dict):
        return {
            masked(name, words=True): _walk(v, secret=secret or bool(_NAME.search(name)))
            for name, v in value.items()
        }
    if isinstance(value, list):
        return [_walk(item, secret=secret) for item in value]
    if isinstance(value, str):
        if secret:
            return masked(value) if _ADDRESS.search(value) else _star(value)
        return value if value in available_timezones() else masked(value)
    return _star(json.dumps(value)) if secret and value is not None else value


def _star_quoted(text: str) -> str:
    quote = text[0] if text[0] in "\"'" else ""
    inner = text.removeprefix(quote).removesuffix(quote) if quote else text
    starred = masked(inner) if _ADDRESS.search(inner) else _star(inner)
    return text.replace(inner, starred, 1) if inner else text


def _star(text: str) -> str:
    return mask_api_id(text) if len(text) >= _SHORTEST else "*" * len(text)
