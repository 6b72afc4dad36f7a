"""The names of the metrics, and everything that names them: rules, dashboard, documents."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cli.telemetry.metrics import METRICS, OPERATIONS, Kind, Metric, Metrics
from tests.support.processes import ROOT
from tests.support.prometheus import DASHBOARD, Alert, alerts, metrics_in

KNOWN = {metric.name for metric in METRICS}
OPERATING = (ROOT / "docs" / "operations.md").read_text("utf-8")


def test_the_names_and_labels_of_the_metrics() -> None:
    assert {metric.name.removeprefix("spreaview_"): metric.labels for metric in METRICS} == {
        "sync_seconds": (),
        "sync_phase_seconds": ("phase",),
        "sync_outcomes_total": ("code",),
        "upstream_seconds": ("status",),
        "http_request_seconds": ("route", "status"),
        "retries_total": ("operation",),
        "in_flight_records": ("topic",),
        "in_flight_bytes": ("topic",),
        "feed_clients": (),
        "component_ok": ("component",),
        "build_info": ("version", "role"),
        "requests_waiting": (),
        "requests_oldest_seconds": (),
        "erasures_waiting": (),
        "erasures_oldest_seconds": (),
        "dead_letters_open": (),
        "relay_lag_events": (),
        "relay_lag_seconds": (),
        "relay_unpublished_events": (),
        "relay_mismatch": (),
        "projection_lag_events": (),
        "projection_lag_seconds": (),
        "streams_stopped": (),
        "generation_info": ("generation", "filled_by"),
        "held_removals": (),
        "open_runs": (),
        "open_runs_oldest_seconds": (),
        "seal_age_seconds": (),
        "unsealed_seconds": (),
        "gathering_failed": ("reading",),
        "gathering_timestamp_seconds": ("reading",),
    }


def test_the_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert not re.search(r"_(ms|minutes|kb|percent)\b", metric.name)
        assert not {"sync_id", "spreaview_event_id", "organization_id"} & set(metric.labels)


def test_a_new_process_shows_its_counters_at_zero() -> None:
    shown = generate_latest(Metrics("1.0", "worker").registry).decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert samples["spreaview_sync_outcomes_total", "internal_error"] == 0
    assert samples["spreaview_sync_outcomes_total", "completed"] == 0
    assert samples["spreaview_build_info", "worker", "1.0"] == 1


@pytest.mark.parametrize(
    ("what", "operation"),
    [
        ("PostgreSQL", "PostgreSQL"),
        ("projector: sweep", "projector"),
        ("batch of spreaview.import-events.v1", "projector"),
        ("spreaview.sync-requests.v1/3@41", "other"),
    ],
)
def test_a_retry_is_counted_by_one_of_few_names(what: str, operation: str) -> None:
    metrics = Metrics("1.0", "worker")
    metrics.retried(what)
    found = {name: metrics.retries.labels(name)._value.get() for name in OPERATIONS}
    assert found == dict.fromkeys(OPERATIONS, 0) | {operation: 1}


def test_the_dashboard_names_metrics_that_exist_and_leaves_none_out() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    named = {name for expression in expressions(dashboard) for name in metrics_in(expression)}
    assert named == KNOWN


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_names_metrics_that_exist_and_an_entry_of_the_runbook(alert: Alert) -> None:
    assert metrics_in(alert.expr) <= KNOWN
    assert metrics_in(alert.expr) or alert.expr.startswith("up{")
    assert alert.severity in ("critical", "warning", "info")
    assert alert.summary.endswith(".")
    document, _, entry = alert.runbook_url.partition("#")
    assert document == "docs/operations.md"
    assert entry in anchors(OPERATING)


def test_the_documents_list_every_metric_and_every_alert() -> None:
    section = OPERATING.partition("## Metrics and alerts")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `spreaview_")]
    assert rows == [row_of(metric) for metric in METRICS]
    listed = re.findall(r"^\| `(Spreaview\w+)` \| (\w+) \| (.+) \|$", OPERATING, re.MULTILINE)
    assert [(name, severity) for name, severity, _ in listed] == [
        (alert.name, alert.severity) for alert in alerts()
    ]


def row_of(metric: Metric) -> str:
    """The row of a metric in the document."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |"


def expressions(value: Any) -> Iterator[str]:
    """Every `expr` in a JSON document."""
    match value:
        case dict():
            for key, each in value.items():
                if key == "expr":
                    yield each
                else:
                    yield from expressions(each)
        case list():
            for each in value:
                yield from expressions(each)


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
