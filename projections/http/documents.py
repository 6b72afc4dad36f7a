"""`/openapi.json` and `/docs`: the description of the HTTP side, readable without a token."""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.http.application import answering
from projections.http.endpoint import Endpoint
from projections.http.openapi import openapi
from projections.http.templating import Renderer


def document_routes(
    endpoints: Sequence[Endpoint], renderer: Renderer, *, version: str
) -> tuple[Route, ...]:
    """Both routes. The page is the document itself, rendered on the server without scripts."""
    document = openapi(endpoints, version=version)
    body = msgspec.json.format(msgspec.json.encode(document), indent=2)

    async def as_json(_: Request) -> Response:
        return Response(body, media_type="application/json", headers=_CACHED)

    async def as_page(_: Request) -> Response:
        return renderer.page("docs.html", {"document": document}, headers=_CACHED)

    return Route("/openapi.json", answering(as_json)), Route("/docs", answering(as_page))


_CACHED = {"Cache-Control": "public, max-age=300"}
