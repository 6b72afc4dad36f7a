"""Prometheus: scraping a process, and evaluating the alert rules with its own `promtool`.

`promtool` is in Debian's package prometheus.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import PATIENCE, ROOT

REQUIRED = "SPREAVIEW_TEST_REQUIRE_PROMETHEUS"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
JOB = "spreaview-sync"

needs_promtool = pytest.mark.skipif(
    not os.environ.get(REQUIRED) and not shutil.which("promtool"),
    reason="there is no promtool; on Debian: apt-get install prometheus",
)

QUICK: Mapping[str, Any] = {
    "metrics_seconds": 0.2,
    "health_period_seconds": 0.2,
    "seal_seconds": 0.2,
}
"""Settings of a line whose metrics are scraped."""

LAGS = (
    "spreaview_relay_lag_seconds",
    "spreaview_projection_lag_seconds",
    "spreaview_requests_oldest_seconds",
    "spreaview_erasures_oldest_seconds",
    "spreaview_open_runs_oldest_seconds",
    "spreaview_unsealed_seconds",
)
"""The gauges that are 0 while nothing waits."""

_RULE = re.compile(r"^      - alert: ", re.MULTILINE)
_FIELD = re.compile(r"^ +(\w+): (.+)$", re.MULTILINE)
_FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'
_NAME = re.compile(r"\bspreaview_[a-z_]+")
_MINUTES = 180


class Alert(NamedTuple):
    """A rule of `alerts.yml`."""

    name: str
    expr: str
    severity: str
    summary: str
    runbook_url: str


def alerts() -> list[Alert]:
    """The rules, read line by line: `promtool check rules` holds that the file is valid YAML."""
    found = []
    for part in _RULE.split(RULES.read_text("utf-8"))[1:]:
        name, _, rest = part.partition("\n")
        fields = {key: value.strip('"') for key, value in _FIELD.findall(rest)}
        wanted = (fields[key] for key in ("expr", "severity", "summary", "runbook_url"))
        found.append(Alert(name, *wanted))
    return found


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics in an expression, without the suffixes of histograms."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in _NAME.findall(expression)}


@dataclass
class Scrape:
    """The samples of one scrape, by series such as `up{instance="a"}`."""

    at: float
    values: dict[str, float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only series with these labels; None without one."""
        found = self.values_of(name, **labels)
        assert len(found) <= 1, found
        return found[0] if found else None

    def values_of(self, name: str, **labels: str) -> list[float]:
        """The values of all series with these labels, in the order of the processes."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return [
            value
            for series, value in self.values.items()
            if series.startswith(f"{name}{{") and all(label in series for label in wanted)
        ]

    @property
    def is_whole(self) -> bool:
        """Whether every component is well, and every reading was gathered."""
        return not any(
            (name.startswith("spreaview_component_ok{") and value == 0)
            or (name.startswith("spreaview_gathering_failed{") and value == 1)
            for name, value in self.values.items()
        )


async def scrape(*urls: str, at: float) -> Scrape:
    """Scrape processes over HTTP as Prometheus does: one that does not answer is `up` 0."""
    found = Scrape(at)
    async with httpx.AsyncClient(timeout=10) as client:
        for url in urls:
            target = {"instance": httpx.URL(url).netloc.decode(), "job": JOB}
            try:
                answer = (await client.get(url)).raise_for_status()
            except httpx.TransportError:
                found.values[_series("up", target)] = 0.0
                continue
            found.values[_series("up", target)] = 1.0
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    found.values[_series(sample.name, sample.labels | target)] = sample.value
    return found


async def scraped_until(
    is_there: Callable[[Scrape], bool], *urls: str, well: bool = True
) -> Scrape:
    """Scrape processes until they show something, and are well if asked to; the last scrape."""
    found = Scrape(0)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                found = await scrape(*urls, at=time.monotonic())
                if (found.is_whole or not well) and is_there(found):
                    return found
                await asyncio.sleep(0.2)
    except TimeoutError:
        shown = {name: value for name, value in found.values.items() if "_bucket" not in name}
        raise AssertionError(shown) from None


def calm(*besides: str) -> Callable[[Scrape], bool]:
    """Whether nothing waits, without some gauges: between two such scrapes only faults grow."""

    def is_calm(found: Scrape) -> bool:
        return all(set(found.values_of(name)) == {0} for name in LAGS if name not in besides)

    return is_calm


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def continued(first: Scrape, second: Scrape) -> dict[str, str]:
    """Two scrapes, continued at the rate between them: series for `assert_firing`.

    So a lag that really grows by a second per second reaches every threshold without the wait.
    """
    minutes = (second.at - first.at) / 60
    series = {}
    for name, value in second.values.items():
        slope = (value - first.values.get(name, value)) / minutes
        if name.startswith("spreaview_gathering_timestamp") or abs(slope) < 1e-9:
            slope = 0.0
        series[name] = f"{value:.6f}{slope:+.6f}x{_MINUTES}"
    return series


def steady(values: Mapping[str, float]) -> dict[str, str]:
    """Series that keep their values."""
    return {name: f"{value:g}x{_MINUTES}" for name, value in values.items()}


def assert_firing(series: Mapping[str, str], expected: Iterable[str], folder: Path) -> None:
    """Let promtool evaluate the rules for three hours, and compare the alerts that fire then."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": _FIRING,
                        "eval_time": f"{_MINUTES - 10}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": 1}
                            for name in sorted(expected)
                        ],
                    }
                ],
            }
        ],
    }
    file = folder / "alerts.test.json"  # JSON is YAML
    file.write_text(json.dumps(test))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    program = shutil.which("promtool")
    assert program is not None, "there is no promtool; on Debian: apt-get install prometheus"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
