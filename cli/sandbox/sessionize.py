"""A local stand-in for Sessionize, so that `demo` and `up` need nothing outside this machine."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.http_server import serving_http
from cli.sandbox.answers import (
    NO_SUCH_VIEW,
    NOT_FOUND,
    ONLY_GET,
    SavedAnswer,
    synthetic_answers,
)
from cli.sandbox.ports import LOOPBACK
from worker.source.sessionize import STAND_IN_HEADER

logger = logging.getLogger(__name__)


def sessionize_app(answers: Mapping[str, SavedAnswer]) -> Starlette:
    """The application: `GET /api/v2/{apiId}/view/All` sends the saved answer of that API ID."""

    async def view(request: Request) -> Response:
        answer = answers.get(request.path_params["api_id"], NOT_FOUND)
        if answer is not NOT_FOUND and request.path_params["view"] != "All":
            answer = NO_SUCH_VIEW
        return _response(answer)

    async def not_found(_: Request, error: Exception) -> Response:
        return _response(NOT_FOUND)

    async def only_get(_: Request, error: Exception) -> Response:
        return _response(ONLY_GET, error.headers if isinstance(error, HTTPException) else None)

    app = Starlette(
        routes=[Route("/api/v2/{api_id}/view/{view}", view, methods=["GET"])],
        exception_handlers={
            HTTPStatus.NOT_FOUND: not_found,
            HTTPStatus.METHOD_NOT_ALLOWED: only_get,
        },
    )
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def local_sessionize(answers: Mapping[str, SavedAnswer] | None = None) -> AsyncIterator[str]:
    """Serve answers on 127.0.0.1 while the block runs; yields the API's base URL.

    Without `answers` these are the synthetic ones. A change of the mapping changes the answers.
    """
    served = synthetic_answers() if answers is None else answers
    async with serving_http(sessionize_app(served), LOOPBACK) as port:
        base_url = f"http://{LOOPBACK}:{port}/api/v2"
        logger.info("a local stand-in for Sessionize answers at %s", base_url)
        yield base_url


def _response(answer: SavedAnswer, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        answer.body,
        answer.status,
        headers={
            **(headers or {}),
            "Content-Type": answer.content_type,
            STAND_IN_HEADER: "sandbox",
        },
    )
