"""Endpoints: one value per route, from which both the routing and the OpenAPI document are made."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from projections.http.problem import ProblemType, bad_request, not_found
from projections.http.tokens import Access, Scope

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
UUID_SCHEMA: Mapping[str, object] = {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path, the query or a header."""

    name: str
    where: Literal["path", "query", "header"]
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what its caller may do."""

    request: Request
    access: Access

    def path(self, name: str) -> str:
        """A parameter of the path.

        Raises `ProblemError` for one with the character NUL: PostgreSQL has no text with it.
        """
        value = str(self.request.path_params[name])
        if "\0" in value:
            raise not_found(f"No {name} contains the character NUL")
        return value

    def path_uuid(self, name: str) -> UUID:
        """A UUID of the path, in any spelling that Python reads. Raises `ProblemError`."""
        return read_uuid(name, self.path(name))

    def query(self, name: str) -> str | None:
        """A parameter of the query; the last one counts if it is repeated."""
        values = self._values(name)
        return values[-1] if values else None

    def _values(self, name: str) -> Sequence[str]:
        """All values of a parameter of the query; most requests have no query to parse."""
        if not self.request.scope["query_string"]:
            return ()
        return self.request.query_params.getlist(name)

    def query_number(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number of the query. Raises `ProblemError` outside of the bounds."""
        if (value := self.query(name)) is None:
            return None
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
            raise bad_request(name, f"{name} is not a whole number")
        if not least <= int(value) <= most:
            raise bad_request(name, f"{name} must be from {least} to {most}")
        return int(value)

    def query_uuid(self, name: str) -> UUID | None:
        """A UUID of the query. Raises `ProblemError`."""
        return None if (value := self.query(name)) is None else read_uuid(name, value)

    def query_instant(self, name: str) -> datetime | None:
        """A moment of the query, with an offset. Raises `ProblemError`."""
        if (value := self.query(name)) is None:
            return None
        try:
            # A form leaves a blank where a `+` was not escaped.
            moment = datetime.fromisoformat(value.replace(" ", "+"))
            if moment.tzinfo is None:
                raise ValueError("no offset")
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise bad_request(
                name, f"{name} is not a moment such as 2026-05-28T10:00:00+02:00"
            ) from None

    def query_choices(self, name: str, choices: Sequence[str]) -> frozenset[str]:
        """Values of the query, repeated or separated by commas. Raises `ProblemError`."""
        values = [part for value in self._values(name) for part in value.split(",") if part]
        for value in values:
            if value not in choices:
                raise bad_request(name, f"{name} must be of: {', '.join(choices)}")
        return frozenset(values)

    def wait_seconds(self, most: float) -> float | None:
        """The seconds of `Prefer: wait=…` (RFC 7240), at most `most`; None without it.

        A preference that cannot be read is ignored, as the RFC asks for.
        """
        for preference in ",".join(self.request.headers.getlist("prefer")).split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            seconds = value.strip().strip('"')
            if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdecimal():
                return min(float(seconds[:9]), most)
        return None


Handle: TypeAlias = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route."""

    method: Literal["GET", "POST"]
    path: str
    """As Starlette has it, such as `/v1/events/{event_id}`."""
    name: str
    """The operation id."""
    summary: str
    scope: Scope
    handle: Handle
    answers: Mapping[int, Any]
    """The body's type by status; None: no body."""
    parameters: Sequence[Parameter] = ()
    body: Any = None
    problems: Sequence[ProblemType] = ()
    """Further problems, in addition to the common ones."""
    is_stream: bool = False
    """Whether it also answers `text/event-stream`."""
    tag: str = "read models"

    @property
    def query_names(self) -> tuple[str, ...]:
        """The names of the query parameters that it knows."""
        return tuple(each.name for each in self.parameters if each.where == "query")

    @property
    def media_types(self) -> tuple[str, ...]:
        """The media types that it answers with, problems apart."""
        return (JSON, EVENT_STREAM) if self.is_stream else (JSON,)


def read_uuid(name: str, value: str) -> UUID:
    """Read a UUID in any spelling. Raises `ProblemError` that names the parameter."""
    try:
        return UUID(value)
    except ValueError:
        raise bad_request(name, f"{name} is not a UUID") from None


def refuse_unknown_query(request: Request, known: Sequence[str]) -> None:
    """Raise `ProblemError` for a query parameter that is not known: ignored, it would mislead."""
    if not request.scope["query_string"]:
        return
    for name in request.query_params:
        if name not in known:
            raise bad_request(name, _unknown_query(name, known))


def _unknown_query(name: str, known: Sequence[str]) -> str:
    cause = f"{name or 'A parameter without a name'} is not a query parameter of this path."
    if not known:
        return f"{cause} It takes none: leave it out"
    if similar := get_close_matches(name, known, n=1):
        return f"{cause} Did you mean {similar[0]}? It takes: {', '.join(known)}"
    return f"{cause} It takes: {', '.join(known)}"
