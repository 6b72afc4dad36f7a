"""Text of others as it may be shown: what looks like a Sessionize API ID is starred.

The rule is careful rather than exact. It stars whole words too where nothing tells that they are
none of the IDs, and keeps every text as long as it was.
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
    """The text, with what may be an API ID starred but for its first two characters.

    UUIDs stay, and names of fields, unless they mix letters and digits.

    Args:
        text: anything, by anybody.
        words: the text is prose, so what consists of letters alone is a word, or of digits alone
            a number.
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
    """Bytes that are no text, byte for byte, with what may be an API ID in them starred."""
    starred = _WIDE_WORD.sub(lambda m: b"*" * len(m[0]), raw)
    return masked(starred.decode("latin-1")).encode("latin-1", errors="replace")


def body_text(raw: bytes) -> str | None:
    """A body as it may be shown: JSON laid out anew, other text as it is; None if it is neither."""
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
    """A JSON value with its strings masked; under the name of an API ID every scalar is one."""
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
    told = masked(inner) if _ADDRESS.search(inner) else _star(inner)
    return text.replace(inner, told, 1) if inner else text


def _star(text: str) -> str:
    return mask_api_id(text) if len(text) >= _SHORTEST else "*" * len(text)
