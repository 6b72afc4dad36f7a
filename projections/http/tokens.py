"""Bearer tokens: a file of hashes with scopes and organizations, read again when it changes."""

import base64
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from messaging.backoff import log_failing, log_working

logger = logging.getLogger(__name__)

COMPONENT = "tokens"
"""The name of the token file in logs and in the health of the process."""
_PREFIX = "svs_"
_BYTES = 32
_EXPIRY_DIGITS = 12


class Scope(StrEnum):
    """A right that a token grants."""

    READ = "read"
    """Queries of the read models, and the feed."""
    SYNC = "sync"
    """Requests of syncs and erasures."""
    AUDIT = "audit"
    """Explanations, history, and what a sync changed."""


class Access(NamedTuple):
    """The rights of a caller."""

    name: str
    """The name of the token, for logs; never the token."""
    scopes: frozenset[Scope]
    organizations: frozenset[UUID] | None
    """None: every organization."""

    def includes(self, organization_id: UUID | None) -> bool:
        """Whether what belongs to the organization may be seen. None belongs to nobody yet."""
        return self.organizations is None or organization_id in self.organizations

    @property
    def listed(self) -> tuple[UUID, ...] | None:
        """The organizations in a fixed order, as statements and caches take them."""
        return None if self.organizations is None else tuple(sorted(self.organizations))


EVERYTHING = Access("open", frozenset(Scope), None)
"""For a server that is open: the sandbox, on loopback only."""


class TokenFileError(Exception):
    """The token file cannot be read or written. The message names the file and the remedy."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    organizations: tuple[UUID, ...] | None = None
    created_at: datetime | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: tuple[_Entry, ...] = ()


class Tokens:
    """The tokens of one file. A change of the file is noticed with the next request.

    A file that cannot be read any more keeps the tokens that were read last, so that a typo locks
    nobody out. A file that is gone has no tokens. The log has a line for either, and for its end.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `TokenFileError`."""
        self._path = path
        self._stamp: object = None
        self._entries: tuple[tuple[bytes, Access], ...] = ()
        self._error: str | None = None
        self._read()

    def access(self, token: str) -> Access | None:
        """Return what a token allows, or None for an unknown one.

        Compares with every hash, each in constant time: the time reveals nothing about a token.
        """
        entry = self._entry(token)
        return None if entry is None else entry[1]

    def _entry(self, token: str) -> tuple[bytes, Access] | None:
        """Find the entry of a token; several tokens may have one name."""
        self.refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest().encode()
        found: tuple[bytes, Access] | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry[0], digest):
                found = entry
        return found

    def cookie(self, token: str, expires_at: datetime) -> str | None:
        """Return a cookie that stands for a token until it expires; None for an unknown token.

        It is `<expiry>.<name>.<signature>`. The signature uses the hash of the token, so a token
        that is removed from the file ends its cookies.
        """
        if (entry := self._entry(token)) is None:
            return None
        digest, access = entry
        return _signed(digest, access.name, int(expires_at.timestamp()))

    def access_of_cookie(self, cookie: str, now: datetime) -> Access | None:
        """Return what a cookie allows; None if it is expired, forged, or its token is gone."""
        self.refresh()
        expiry, _, _ = cookie.partition(".")
        if not expiry.isdecimal() or len(expiry) > _EXPIRY_DIGITS or int(expiry) <= now.timestamp():
            return None
        found: Access | None = None
        for digest, known in self._entries:
            if hmac.compare_digest(
                _signed(digest, known.name, int(expiry)).encode(), cookie.encode()
            ):
                found = known
        return found

    def refresh(self) -> str | None:
        """Read the file if it has changed; return the reason why it cannot be used, or None."""
        error: str | None = None
        try:
            if self._stat() != self._stamp:
                self._read()
        except (FileNotFoundError, NotADirectoryError):
            self._stamp, self._entries = None, ()
            error = f"the token file {self._path} is gone: no token is valid. Remedy: put it back"
        except (OSError, TokenFileError) as reason:
            text = _unreadable(self._path, reason) if isinstance(reason, OSError) else reason
            error = f"{text}. Meanwhile the tokens that were read last stay valid"
        if error != self._error:
            self._report(error)
        return error

    def _report(self, error: str | None) -> None:
        if error is None:
            log_working(COMPONENT)
        elif self._error is None:
            log_failing(COMPONENT, error)
        else:
            logger.warning(
                "%s still fails: %s",
                COMPONENT,
                error,
                extra={"component": COMPONENT, "reason": error},
            )
        self._error = error

    def _stat(self) -> object:
        stat = os.stat(self._path)
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def _read(self) -> None:
        try:
            stamp = self._stat()
            entries = _read_file(self._path).tokens
        except OSError as error:
            raise TokenFileError(_unreadable(self._path, error)) from error
        self._stamp = stamp
        self._entries = tuple(
            (
                entry.sha256.lower().encode(),
                Access(
                    entry.name,
                    frozenset(entry.scopes),
                    None if entry.organizations is None else frozenset(entry.organizations),
                ),
            )
            for entry in entries
        )


class NewToken(NamedTuple):
    """A token, and the content of the file that knows its hash."""

    token: str
    content: bytes


def new_token(
    path: Path, name: str, scopes: Sequence[Scope], organizations: Sequence[UUID] | None
) -> NewToken:
    """Make a token for a file that may not exist yet. Nobody can show it again.

    Raises:
        TokenFileError: the name is taken, or the file cannot be read.
    """
    try:
        before = _read_file(path).tokens if path.exists() else ()
    except OSError as error:
        raise TokenFileError(f"{path} cannot be read: {error.strerror}") from error
    if any(entry.name == name for entry in before):
        raise TokenFileError(
            f"{path} has a token named {name} already. Remedy: choose another name, or remove "
            "that entry"
        )
    token = _PREFIX + secrets.token_urlsafe(_BYTES)
    entry = _Entry(
        name=name,
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        scopes=tuple(scopes),
        organizations=None if organizations is None else tuple(organizations),
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    content = msgspec.json.format(msgspec.json.encode(_File(tokens=(*before, entry))), indent=2)
    return NewToken(token, content + b"\n")


def _signed(key: bytes, name: str, expiry: int) -> str:
    shown = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
    text = f"{expiry}.{shown}"
    return f"{text}.{hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"


def _read_file(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise TokenFileError(
            f"the token file {path} cannot be used: {reason}. Remedy: correct it"
        ) from error


def _unreadable(path: Path, error: OSError) -> str:
    remedy = (
        "make one with spreaview-sync token create"
        if isinstance(error, FileNotFoundError)
        else "make it readable for this user"
    )
    return f"the token file {path} cannot be read: {error.strerror}. Remedy: {remedy}"
