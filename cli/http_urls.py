"""The base URL of an HTTP API, as a setting has it."""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
"""A host name, or an address of IPv4 or IPv6; names of other scripts are encoded before."""
_LAST_PORT = 65_535


def base_url(text: str) -> str:
    """Return a URL to which paths can be added, without blanks around it.

    Read as the HTTP client reads it. Raises ValueError with the cause and the remedy. The text of
    the URL is never a part of the error, because it may hold a password.
    """
    import httpx  # here, because most commands need none

    text = text.strip()
    try:
        url = httpx.URL(text)
        url.host.encode("idna")
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError(
            "is not a URL with a valid host, and a port from 1 to 65535 if any"
        ) from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("is not an http:// or https:// URL")
    if "@" in text:  # also in a path: a password may hold a slash
        raise ValueError("holds a user or a password, which are not sent. Leave them out")
    if "?" in text or "#" in text:
        raise ValueError("has a query or a fragment. Leave out everything from ? or # on")
    if _NAME.fullmatch(host) is None:
        raise ValueError("has a host that is neither a name nor an address")
    if url.port is not None and not 1 <= url.port <= _LAST_PORT:
        raise ValueError("has a port that is not from 1 to 65535")
    return text


BaseUrl: TypeAlias = Annotated[str, AfterValidator(base_url)]
