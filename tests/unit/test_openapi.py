"""The OpenAPI document: every route of the application, and schemas that resolve."""

import json
import re
from collections.abc import Iterator

import pytest

from projections.http.openapi import openapi
from tests.support.endpoints import all_endpoints

DOCUMENT = json.loads(json.dumps(openapi(all_endpoints(), version="1.2.3")))


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_resolves() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found = set(references(DOCUMENT))
    assert found
    assert {each.rsplit("/", 1)[1] for each in found} <= set(schemas)


def test_the_endpoints_of_the_design_are_there() -> None:
    assert set(DOCUMENT["paths"]) >= {
        "/v1/events/{event_id}/syncs",
        "/v1/events/{event_id}/syncs/{sync_id}",
        "/v1/events/{event_id}/schedule",
        "/v1/events/{event_id}/rooms",
        "/v1/events/{event_id}/rooms/{room_id}/now",
        "/v1/sessions/{session_code}",
        "/v1/organizations/{organization_id}/speakers/{speaker_id}",
        "/v1/events/{event_id}/skipped",
        "/v1/events/{event_id}/explain",
        "/v1/events/{event_id}/history",
        "/v1/import-events",
    }


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (path, operation)
        for path, operations in DOCUMENT["paths"].items()
        for operation in operations.values()
    ],
    ids=lambda value: value if isinstance(value, str) else value["operationId"],
)
def test_every_operation_names_its_parameters_and_its_errors(
    path: str, operation: dict[str, object]
) -> None:
    parameters = operation["parameters"]
    assert isinstance(parameters, list)
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    responses = operation["responses"]
    assert isinstance(responses, dict)
    assert {"400", "401", "403", "503"} <= set(responses)
    assert {"200", "202"} & set(responses)
