"""The page about the contract matches the models, and the models match the code."""

import json
import re
from pathlib import Path

import pytest

from contracts import publish
from contracts.failures import FAILURES, FailureCode
from contracts.views import VIEWS
from contracts.warning_codes import WARNINGS
from projections.tables import ADDED_COLUMNS, COLUMNS
from tests.support.contract_page import PAGE, page
from worker.rules import sync_failures
from worker.rules.sync_failures import Removals, SyncFailure

SCHEMAS = sorted((publish.HERE / "schemas").glob("*.json"))
RULES = Path(sync_failures.__file__).parent
REMOVALS = Removals(missing=6, unscheduled=0, outside=0, source_changed=False)
MADE = (
    sync_failures.invalid_request("window is missing"),
    sync_failures.invalid_api_id(),
    sync_failures.api_id_not_found(404),
    sync_failures.endpoint_not_json(200),
    sync_failures.endpoint_rejected(403),
    sync_failures.unexpected_document("it is cut off"),
    sync_failures.schedule_empty(),
    sync_failures.schedule_not_announced(3),
    sync_failures.schedule_replaced(REMOVALS),
    sync_failures.nothing_in_window(REMOVALS),
    sync_failures.response_too_large(2**20),
    sync_failures.upstream_unavailable("it is too slow"),
    sync_failures.superseded(),
    sync_failures.internal_error(),
)


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "docs/contract.md is stale: run make contracts"


@pytest.mark.parametrize("name", ["contract.md", "commands.md", "configuration.md"])
def test_no_meaning_in_a_table_of_a_generated_page_is_empty(name: str) -> None:
    tables = [line for line in PAGE.with_name(name).read_text("utf-8").splitlines() if "|" in line]
    rows = [line for line in tables if line.startswith("| ")]
    assert len(rows) > 50
    assert [row for row in rows if not row.removesuffix("|").rpartition("|")[2].strip()] == []


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_field_of_a_schema_has_a_description(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    models = {"": schema, **schema.get("$defs", {})}
    assert [
        f"{model}.{field}"
        for model, definition in models.items()
        for field, described in definition["properties"].items()
        if not described.get("description")
    ] == []


def test_every_failure_code_has_a_meaning_and_a_remedy() -> None:
    assert FAILURES.keys() == set(FailureCode) == {failure.code for failure in MADE}


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.code)
def test_a_failure_has_the_documented_remedy(made: SyncFailure) -> None:
    first = FAILURES[made.code].remedy.partition(". ")[0]

    assert made.remedy.startswith(first)
    assert made.retryable == FAILURES[made.code].retryable


def test_every_code_of_a_warning_in_the_rules_is_documented() -> None:
    code = "".join(path.read_text("utf-8") for path in RULES.glob("*.py"))
    made = set(re.findall(r'code="(\w+)"', code)) | {
        f"{prefix}_{kind}"
        for prefix in re.findall(r'code=f"(\w+)_{kind}"', code)
        for kind in ("session", "speaker", "room")
        if (prefix, kind) != ("unknown", "session")
    }

    assert made | {"unknown_topic"} == WARNINGS.keys()


def test_an_added_column_is_the_last_one_of_its_table() -> None:
    for table, column in ADDED_COLUMNS:
        derived = {"is_reviewable"}
        assert [c for c in COLUMNS[table] if c not in derived][-1] == column


def test_the_values_of_a_column_belong_to_a_column() -> None:
    for view in VIEWS.values():
        assert view.values.keys() <= view.columns.keys()
