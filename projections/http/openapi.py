"""The OpenAPI 3.1 document, made from the endpoints and the types of their answers."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from projections.http.endpoint import EVENT_STREAM, JSON, Endpoint, Parameter
from projections.http.problem import MEDIA_TYPE, Problem, ProblemType, status_of

_REFERENCE = "#/components/schemas/{name}"
_ALWAYS = (
    ProblemType.BAD_REQUEST,
    ProblemType.UNAUTHORIZED,
    ProblemType.FORBIDDEN,
    ProblemType.NOT_ACCEPTABLE,
    ProblemType.TOO_LARGE,
    ProblemType.UNAVAILABLE,
)
_DESCRIPTIONS = {200: "The answer.", 202: "Accepted: the work continues.", 304: "Not modified."}


def openapi(endpoints: Sequence[Endpoint], *, version: str) -> dict[str, object]:
    """The document. Schemas come from the types that are encoded, so they cannot differ."""
    types = list(_types(endpoints))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = {repr(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        path = paths.setdefault(endpoint.path, {})
        path[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spreaview-sync",
            "version": version,
            "description": "Schedules imported from Sessionize, their syncs, and the log of what "
            "changed.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(endpoints: Sequence[Endpoint]) -> Iterator[Any]:
    yield Problem
    for endpoint in endpoints:
        yield from (type_ for type_ in endpoint.answers.values() if type_ is not None)
        if endpoint.body is not None:
            yield endpoint.body


def _operation(endpoint: Endpoint, schema_of: dict[str, dict[str, Any]]) -> dict[str, object]:
    responses: dict[str, object] = {}
    for status, type_ in endpoint.answers.items():
        response: dict[str, object] = {"description": _DESCRIPTIONS[status]}
        if type_ is not None:
            content: dict[str, object] = {JSON: {"schema": schema_of[repr(type_)]}}
            if endpoint.is_stream and status == 200:
                content[EVENT_STREAM] = {"schema": {"type": "string"}}
            response["content"] = content
        responses[str(status)] = response
    for problem in (*_ALWAYS, *endpoint.problems):
        responses.setdefault(str(status_of(problem)), _problem(schema_of))
    operation: dict[str, object] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "description": f"Needs a token with the scope `{endpoint.scope}`.",
        "parameters": [_parameter(each) for each in endpoint.parameters],
        "responses": responses,
    }
    if endpoint.body is not None:
        schema = schema_of[repr(endpoint.body)]
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schema}},
        }
    return operation


def _problem(schema_of: dict[str, dict[str, Any]]) -> dict[str, object]:
    return {
        "description": "A problem (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": schema_of[repr(Problem)]}},
    }


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }
