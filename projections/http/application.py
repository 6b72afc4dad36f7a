"""The ASGI application of the endpoints: tokens, limits, error answers, security headers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from contracts.outage_text import describe_outage
from eventstore.damage import DamagedLogError
from eventstore.errors import is_database_outage
from projections.generations import NoGenerationError
from projections.http.endpoint import Call, Endpoint, refuse_unknown_query
from projections.http.negotiation import accepts, without_body, wrong_method
from projections.http.problem import ProblemError, ProblemType, bad_request
from projections.http.tokens import EVERYTHING, Access, Scope, Tokens

logger = logging.getLogger(__name__)

COOKIE = "spreaview_session"
_FORBIDDEN_QUERY = frozenset({"token", "access_token", "api_key", "apikey", "authorization"})
MAX_QUERY_BYTES = 8 * 1024
_CALLER_HEADERS = ("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "Prefer")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Security:
    """The callers that are accepted, and their origins."""

    tokens: Tokens | None
    """None: everybody may do everything. Only for the sandbox, on loopback."""
    allowed_origins: Sequence[str] = ()
    """Origins of other sites whose scripts may call with a token (CORS)."""

    def access(self, request: Request) -> Access | None:
        """Return the rights of the caller; None without a valid token or cookie.

        Raises:
            ProblemError: a token is in the URL, where logs and histories would keep it.
        """
        if request.scope["query_string"]:
            _refuse_tokens(request)
        if self.tokens is None:
            if _host_name(request) not in LOOPBACK:  # a name of another site that leads here
                raise ProblemError(ProblemType.FORBIDDEN, "An open server answers on loopback only")
            return EVERYTHING
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme:
            return self.tokens.access(token.strip()) if scheme.lower() == "bearer" else None
        if (cookie := request.cookies.get(COOKIE)) is not None:
            return self.tokens.access_of_cookie(cookie, datetime.now(UTC))
        return None

    def require(self, request: Request, scope: Scope) -> Access:
        """Return the rights of the caller. Raises `ProblemError` without a token of that scope."""
        access = self.access(request)
        if access is None:
            raise ProblemError(
                ProblemType.UNAUTHORIZED,
                "Send a valid token as Authorization: Bearer …",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if scope not in access.scopes:
            raise ProblemError(
                ProblemType.FORBIDDEN,
                f"The token {access.name} lacks the scope {scope}",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope" scope="{scope}"'},
            )
        return access


def _refuse_tokens(request: Request) -> None:
    """Refuse a token in the query."""
    if leaked := _FORBIDDEN_QUERY.intersection(name.lower() for name in request.query_params):
        raise bad_request(
            min(leaked), "A token must not be in a URL. Send it as Authorization: Bearer …"
        )


def _host_name(request: Request) -> str:
    """The name in the header `Host`, without port and brackets."""
    host = request.headers.get("host", "").lower()
    return host.partition("]")[0].removeprefix("[") if host[:1] == "[" else host.partition(":")[0]


def application(
    endpoints: Sequence[Endpoint],
    routes: Sequence[BaseRoute],
    security: Security,
    *,
    gates: Sequence[Middleware] = (),
) -> Starlette:
    """The application: the endpoints, and further routes that answer for themselves.

    A gate may refuse any request. Its answers have the same headers as all others.
    """
    middleware = [Middleware(_Headers)]
    if security.allowed_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(security.allowed_origins),
                allow_methods=["GET", "POST"],
                allow_headers=_CALLER_HEADERS,
                expose_headers=["Content-Location", "ETag", "Location", "Retry-After"],
            )
        )
    made = [
        Route(each.path, answering(_endpoint(each, security)), methods=[each.method])
        for each in endpoints
    ]
    app = Starlette(
        routes=[*made, *routes],
        middleware=[*middleware, *gates],
        exception_handlers={HTTPException: _http_problem},
    )
    app.router.redirect_slashes = False
    return app


def _endpoint(endpoint: Endpoint, security: Security) -> Callable[[Request], Awaitable[Response]]:
    known = endpoint.query_names

    async def handle(request: Request) -> Response:
        access = security.require(request, endpoint.scope)
        refuse_unknown_query(request, known)
        accept = ",".join(request.headers.getlist("accept"))
        if not any(accepts(accept, each) for each in endpoint.media_types):
            raise ProblemError(
                ProblemType.NOT_ACCEPTABLE,
                f"This is answered as: {', '.join(endpoint.media_types)}",
                field="Accept",
            )
        response = await endpoint.handle(Call(request, access))
        return without_body(response) if request.method == "HEAD" else response

    return handle


def answering(
    handle: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The one place where an error becomes an answer: problem details, never a traceback."""

    async def answer(request: Request) -> Response:
        try:
            if len(request.scope["query_string"]) > MAX_QUERY_BYTES:
                raise ProblemError(ProblemType.TOO_LARGE, "The query is longer than 8 KiB")
            return await handle(request)
        except ProblemError as error:
            return error.response()
        except (NoGenerationError, DamagedLogError) as error:
            logger.warning("a request was refused: %s", error)
            return _unavailable(str(error))
        except Exception as error:
            if is_database_outage(error):
                reason = describe_outage(error)
                logger.warning("a query failed: %s", reason)
                return _unavailable(f"The database cannot answer: {reason}")
            logger.exception("a request failed unexpectedly")
            return ProblemError(
                ProblemType.INTERNAL, "The log of the server names the fault"
            ).response()
        except asyncio.CancelledError:  # the server stops, and has waited for as long as it may
            return _unavailable("The server stops before it has the answer. Ask again")

    return answer


def _unavailable(detail: str) -> Response:
    return ProblemError(ProblemType.UNAVAILABLE, detail, headers={"Retry-After": "5"}).response()


async def _http_problem(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that does not exist."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        return wrong_method(request)
    return ProblemError(ProblemType.NOT_FOUND, "There is no such path; see /docs").response()


class _Headers:
    """Adds the security headers to every answer that does not have its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
