"""The names of all metrics, and the metrics that a process measures itself.

Labels have few values: no id of a run, a SpreaView event or a person, and no API ID.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cli.health.component_health import ComponentHealth
from contracts.failures import FailureCode
from messaging.in_flight import InFlight

COMPLETED = "completed"
"""The code of a run that did not fail."""
PHASES = ("queue", "load", "fetch", "decide", "append")
STATUSES = ("2xx", "3xx", "4xx", "5xx", "none")
OPERATIONS = (
    "PostgreSQL",
    "Kafka",
    "dead letters",
    "relay",
    "projector",
    "sealing the log",
    "open runs",
    "other",
)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Kind(StrEnum):
    """The kind of a metric, and the origin of its value."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    """Known to the process."""
    GATHERED = "gathered gauge"
    """Read from PostgreSQL or Kafka, from time to time."""


class Metric(NamedTuple):
    """A metric as it is documented."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    reading: str = ""
    """The reading that a gathered gauge is from."""


def _gathered(reading: str, name: str, text: str, *labels: str) -> Metric:
    return Metric(f"spreaview_{name}", Kind.GATHERED, text, labels, reading)


METRICS = (
    Metric("spreaview_sync_seconds", Kind.HISTOGRAM, "Syncs, from the receipt to the outcome"),
    Metric(
        "spreaview_sync_phase_seconds",
        Kind.HISTOGRAM,
        "Phases of syncs: queue, load, fetch, decide, append",
        ("phase",),
    ),
    Metric(
        "spreaview_sync_outcomes_total",
        Kind.COUNTER,
        "Outcomes appended by this process: completed, or the code of the failure",
        ("code",),
    ),
    Metric(
        "spreaview_upstream_seconds",
        Kind.HISTOGRAM,
        "Attempts to fetch from Sessionize, by class of the status; none without an answer",
        ("status",),
    ),
    Metric(
        "spreaview_http_request_seconds",
        Kind.HISTOGRAM,
        "Requests of the HTTP side, without live feeds",
        ("route", "status"),
    ),
    Metric(
        "spreaview_retries_total",
        Kind.COUNTER,
        "Failed attempts that are repeated",
        ("operation",),
    ),
    Metric(
        "spreaview_in_flight_records",
        Kind.GAUGE,
        "Records taken from a topic that have not ended",
        ("topic",),
    ),
    Metric("spreaview_in_flight_bytes", Kind.GAUGE, "The bytes of these records", ("topic",)),
    Metric("spreaview_feed_clients", Kind.GAUGE, "Open live feeds"),
    Metric(
        "spreaview_component_ok",
        Kind.GAUGE,
        "1 if the component of /ready is well, 0 if not",
        ("component",),
    ),
    Metric(
        "spreaview_build_info", Kind.GAUGE, "1, with the version and the role", ("version", "role")
    ),
    _gathered("requests", "requests_waiting", "Requests without an outcome, up to 20,000"),
    _gathered("requests", "requests_oldest_seconds", "Age of the oldest of these requests"),
    _gathered("erasures", "erasures_waiting", "Erasure requests not carried out, up to 20,000"),
    _gathered("erasures", "erasures_oldest_seconds", "Age of the oldest of these requests"),
    _gathered("dead_letters", "dead_letters_open", "Dead letters that nobody has resolved"),
    _gathered(
        "relay", "relay_lag_events", "Events of the log that are not on Kafka, up to 100,000"
    ),
    _gathered("relay", "relay_lag_seconds", "Age of the oldest of these events"),
    _gathered("relay", "relay_unpublished_events", "Events skipped because they are too large"),
    _gathered("mismatch", "relay_mismatch", "1 if the log was restored, and the relay is stuck"),
    _gathered("projections", "projection_lag_events", "Events of the log that are not applied"),
    _gathered("projections", "projection_lag_seconds", "Age of the oldest of these events"),
    _gathered("projections", "streams_stopped", "Streams that have stopped"),
    _gathered(
        "projections",
        "generation_info",
        "1, with the live generation and the code that filled it",
        "generation",
        "filled_by",
    ),
    _gathered("held_removals", "held_removals", "Sessions whose removal is held back"),
    _gathered("open_runs", "open_runs", "Runs that have begun and not ended"),
    _gathered("open_runs", "open_runs_oldest_seconds", "Age of the oldest open run"),
    _gathered("seals", "seal_age_seconds", "Age of the newest seal"),
    _gathered("seals", "unsealed_seconds", "Age of the oldest event after the newest seal"),
    Metric(
        "spreaview_gathering_failed",
        Kind.GAUGE,
        "1 if the gauges of a reading are missing because it failed",
        ("reading",),
    ),
    Metric(
        "spreaview_gathering_timestamp_seconds",
        Kind.GAUGE,
        "When the gauges of a reading were gathered, in Unix time",
        ("reading",),
    ),
)
"""Every metric of ours, in the order of the documentation."""

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self, version: str, role: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.sync_seconds = self._histogram("spreaview_sync_seconds")
        self.phase_seconds = self._histogram("spreaview_sync_phase_seconds")
        self.outcomes = self._counter("spreaview_sync_outcomes_total")
        self.upstream_seconds = self._histogram("spreaview_upstream_seconds")
        self.http_seconds = self._histogram("spreaview_http_request_seconds")
        self.retries = self._counter("spreaview_retries_total")
        self._in_flight_records = self._gauge("spreaview_in_flight_records")
        self._in_flight_bytes = self._gauge("spreaview_in_flight_bytes")
        self._gauge("spreaview_build_info").labels(version, role).set(1)
        # A counter that appears with its first increment hides that increment from `increase`.
        for code in (COMPLETED, *FailureCode):
            self.outcomes.labels(code)
        for operation in OPERATIONS:
            self.retries.labels(operation)
        for phase in PHASES:
            self.phase_seconds.labels(phase)
        for status in STATUSES:
            self.upstream_seconds.labels(status)

    def show_in_flight(self, topic: str, in_flight: InFlight) -> None:
        """Show the records that a consumer has in flight, as they are at each scrape."""
        self._in_flight_records.labels(topic).set_function(lambda: in_flight.records)
        self._in_flight_bytes.labels(topic).set_function(lambda: in_flight.bytes)

    def show_feed_clients(self, count: Callable[[], int]) -> None:
        """Show the number of open feeds, as it is at each scrape."""
        self._gauge("spreaview_feed_clients").set_function(count)

    def show_components(self, known: Callable[[], Mapping[str, ComponentHealth]]) -> None:
        """Show the components of `/ready`, as they are at each scrape."""
        self.registry.register(_Components(known))

    def retried(self, what: str) -> None:
        """Count a failed attempt of an operation, by the name that the log has for it."""
        self.retries.labels(_operation(what)).inc()

    def _histogram(self, name: str) -> Histogram:
        metric = BY_NAME[name]
        return Histogram(name, metric.text, metric.labels, registry=self.registry, buckets=_BUCKETS)

    def _counter(self, name: str) -> Counter:
        metric = BY_NAME[name]
        return Counter(name, metric.text, metric.labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        metric = BY_NAME[name]
        return Gauge(name, metric.text, metric.labels, registry=self.registry)


class _Components(Collector):
    def __init__(self, known: Callable[[], Mapping[str, ComponentHealth]]) -> None:
        self._known = known

    def collect(self) -> Iterator[Family]:
        metric = BY_NAME["spreaview_component_ok"]
        family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
        for name, health in self._known().items():
            family.add_metric((name,), health.ok)
        yield family


def _operation(what: str) -> str:
    """Return one of `OPERATIONS`. Other names are many: a record's name has its offset."""
    if what in OPERATIONS:
        return what
    return "projector" if what.startswith(("projector", "batch of")) else "other"
