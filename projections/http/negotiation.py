"""Methods and media types: which ones a path allows, and which ones a caller accepts."""

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from projections.http.problem import ProblemError, ProblemType

_QUALITY = "q="


def wrong_method(request: Request) -> Response:
    """Answer a method that no route of the path has: 204 to OPTIONS, else 405.

    `Allow` names the methods of all routes with this path.
    """
    allow = {"Allow": ", ".join(sorted(_methods_of(request)))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    detail = f"{request.method} is not possible here. Possible: {allow['Allow']}; see /docs"
    return ProblemError(ProblemType.METHOD_NOT_ALLOWED, detail, headers=allow).response()


def _methods_of(request: Request) -> set[str]:
    return {"OPTIONS"}.union(
        *(
            route.methods or ()
            for route in request.app.routes
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        )
    )


@lru_cache(maxsize=256)
def accepts(header: str, media_type: str) -> bool:
    """Whether an `Accept` header allows a media type (RFC 9110); an empty one allows every type.

    The range that names the type most closely counts; `q=0` refuses it.
    """
    if not header.strip():
        return True
    qualities = dict(_range(part) for part in header.lower().split(","))
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((qualities[each] for each in ranges if each in qualities), False)


def _range(part: str) -> tuple[str, bool]:
    """The range, and whether its quality is above zero."""
    name, *parameters = (each.strip() for each in part.split(";"))
    quality = next((p.removeprefix(_QUALITY) for p in parameters if p.startswith(_QUALITY)), "1")
    return name, bool(quality.strip("0."))


def without_body(response: Response) -> Response:
    """The answer to HEAD: the headers of a stream, without starting it."""
    if not hasattr(response, "body_iterator"):
        return response  # the server leaves out its body, and keeps its length
    headers = Response(status_code=response.status_code, headers=dict(response.headers))
    del headers.headers["content-length"]
    return headers
