"""Problem details (RFC 9457): the one form of every error answer."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class ProblemType(StrEnum):
    """The stable types, as relative URIs: `urn:spreaview:problem:<type>`."""

    BAD_REQUEST = "bad-request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_ACCEPTABLE = "not-acceptable"
    CONFLICT = "conflict"
    NOT_YET = "not-yet"
    RESET = "reset"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


_TITLES: Mapping[ProblemType, tuple[int, str]] = {
    ProblemType.BAD_REQUEST: (400, "The request cannot be read"),
    ProblemType.UNAUTHORIZED: (401, "A valid token is needed"),
    ProblemType.FORBIDDEN: (403, "The token does not allow this"),
    ProblemType.NOT_FOUND: (404, "There is no such thing here"),
    ProblemType.METHOD_NOT_ALLOWED: (405, "This method is not allowed here"),
    ProblemType.NOT_ACCEPTABLE: (406, "No such representation"),
    ProblemType.CONFLICT: (409, "The request contradicts an earlier one"),
    ProblemType.NOT_YET: (409, "Not visible yet"),
    ProblemType.RESET: (410, "The cursor is not of this log"),
    ProblemType.TOO_LARGE: (413, "The request is too large"),
    ProblemType.UNSUPPORTED_MEDIA_TYPE: (415, "The body is not JSON"),
    ProblemType.UNAVAILABLE: (503, "Not available now"),
    ProblemType.INTERNAL: (500, "An unexpected fault"),
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an error answer."""

    type: str
    """`urn:spreaview:problem:` and one of the stable types."""
    title: str
    status: int
    detail: str
    """A sentence that names the cause and the remedy."""
    field: str | None = None
    """The parameter, header or field of the body that is wrong."""


class ProblemError(Exception):
    """Ends a request with problem details."""

    def __init__(
        self,
        type_: ProblemType,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        status, title = _TITLES[type_]
        self.type_ = type_
        self.problem = Problem(
            type=f"urn:spreaview:problem:{type_}",
            title=title,
            status=status,
            detail=detail,
            field=field,
        )
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer; no cache may keep it."""
        return Response(
            msgspec.json.encode(self.problem),
            status_code=self.problem.status,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


def status_of(type_: ProblemType) -> int:
    """The HTTP status that goes with a type."""
    return _TITLES[type_][0]


def bad_request(field: str, detail: str) -> ProblemError:
    """A parameter or field that cannot be read."""
    return ProblemError(ProblemType.BAD_REQUEST, detail, field=field)


def not_found(detail: str) -> ProblemError:
    """Nothing there, or nothing that the token may know of."""
    return ProblemError(ProblemType.NOT_FOUND, detail)


def reset(detail: str) -> ProblemError:
    """A cursor or a page of another log, or of this one before it was restored."""
    return ProblemError(ProblemType.RESET, detail, field="after")


def not_yet(detail: str, retry_after: int = 1) -> ProblemError:
    """The answer would be older than the caller asked for."""
    return ProblemError(ProblemType.NOT_YET, detail, headers={"Retry-After": str(retry_after)})
