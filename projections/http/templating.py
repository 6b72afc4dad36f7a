"""Rendering pages: templates that escape everything, and static files from this package."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.http.problem import not_found

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Renderer:
    """Renders the templates of packages. Every value is escaped; a missing value is an error."""

    def __init__(
        self, packages: tuple[str, ...], filters: Mapping[str, Callable[..., Any]]
    ) -> None:
        """Read templates from the folder `templates` of each package, the first one wins."""
        self._templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader(
                [jinja2.FunctionLoader(_loader(package)) for package in packages]
            ),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(filters)

    def page(
        self,
        template: str,
        values: Mapping[str, object],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Render a template as a page."""
        html = self._templates.get_template(template).render(values)
        return Response(
            html,
            status_code=status,
            media_type="text/html",
            headers={"Cache-Control": "private, no-store", **(headers or {})},
        )


def static_route(package: str) -> Route:
    """Serve the files of the folder `static` of a package at `/static/`."""
    folder = files(package).joinpath("static")
    contents = {
        each.name: (each.read_bytes(), _TYPES[each.name.rpartition(".")[2]])
        for each in folder.iterdir()
        if each.name.rpartition(".")[2] in _TYPES
    }

    async def serve(request: Request) -> Response:
        found = contents.get(request.path_params["name"])
        if found is None:
            return not_found("There is no such file").response()
        body, media_type = found
        return Response(
            body, media_type=media_type, headers={"Cache-Control": "public, max-age=300"}
        )

    return Route("/static/{name}", serve)


def _loader(package: str) -> Callable[[str], str | None]:
    folder = files(package).joinpath("templates")

    def load(name: str) -> str | None:
        each = folder.joinpath(name)
        return each.read_text("utf-8") if each.is_file() else None

    return load
