"""Each alert fires on its condition, and on nothing else; evaluated by Prometheus' own promtool."""

from pathlib import Path

import pytest

from tests.support.prometheus import (
    RULES,
    alerts,
    assert_firing,
    needs_promtool,
    promtool,
    steady,
)

pytestmark = needs_promtool

WORKER = 'instance="worker:8081",job="spreaview-sync"'
API = 'instance="api:8080",job="spreaview-sync"'

HEALTHY: dict[str, str] = steady(
    {
        f"up{{{WORKER}}}": 1,
        f"up{{{API}}}": 1,
        f"spreaview_requests_oldest_seconds{{{WORKER}}}": 299,
        f"spreaview_erasures_oldest_seconds{{{WORKER}}}": 299,
        f"spreaview_open_runs_oldest_seconds{{{WORKER}}}": 1799,
        f"spreaview_held_removals{{{API}}}": 0,
        f"spreaview_dead_letters_open{{{WORKER}}}": 0,
        f"spreaview_relay_lag_seconds{{{WORKER}}}": 119,
        f"spreaview_relay_lag_seconds{{{API}}}": 119,
        f"spreaview_relay_unpublished_events{{{WORKER}}}": 0,
        f"spreaview_relay_mismatch{{{WORKER}}}": 0,
        f"spreaview_projection_lag_seconds{{{API}}}": 119,
        f"spreaview_streams_stopped{{{API}}}": 0,
        f"spreaview_unsealed_seconds{{{WORKER}}}": 3599,
        f'spreaview_component_ok{{component="relay",{WORKER}}}': 1,
        f'spreaview_gathering_failed{{reading="relay",{WORKER}}}': 0,
        f'spreaview_gathering_failed{{reading="relay",{API}}}': 1,
    }
) | {
    f'spreaview_sync_outcomes_total{{code="completed",{WORKER}}}': "0+2x180",
    f'spreaview_sync_outcomes_total{{code="internal_error",{WORKER}}}': "4x180",
    f'spreaview_sync_outcomes_total{{code="upstream_unavailable",{WORKER}}}': "0x165 1x15",
    f'spreaview_http_request_seconds_count{{route="/",status="2xx",{API}}}': "0+96x180",
    f'spreaview_http_request_seconds_count{{route="/",status="5xx",{API}}}': "0+4x180",
}
"""A system in which every value is just below its threshold, for three hours."""

FAULTS: dict[str, dict[str, str]] = {
    "SpreaviewRequestsWait": {f"spreaview_requests_oldest_seconds{{{WORKER}}}": "301x180"},
    "SpreaviewErasuresWait": {f"spreaview_erasures_oldest_seconds{{{WORKER}}}": "301x180"},
    "SpreaviewRunStaysOpen": {f"spreaview_open_runs_oldest_seconds{{{WORKER}}}": "1801x180"},
    "SpreaviewSyncsFail": {
        f'spreaview_sync_outcomes_total{{code="internal_error",{WORKER}}}': "0x164 1x16"
    },
    "SpreaviewUpstreamUnavailable": {
        f'spreaview_sync_outcomes_total{{code="upstream_unavailable",{WORKER}}}': "0x164 3x16"
    },
    "SpreaviewRemovalsHeld": {f"spreaview_held_removals{{{API}}}": "1x180"},
    "SpreaviewDeadLettersOpen": {f"spreaview_dead_letters_open{{{WORKER}}}": "1x180"},
    "SpreaviewRelayLags": {f"spreaview_relay_lag_seconds{{{API}}}": "121x180"},
    "SpreaviewEventTooLarge": {f"spreaview_relay_unpublished_events{{{WORKER}}}": "1x180"},
    "SpreaviewLogRestored": {f"spreaview_relay_mismatch{{{WORKER}}}": "1x180"},
    "SpreaviewProjectionLags": {f"spreaview_projection_lag_seconds{{{API}}}": "121x180"},
    "SpreaviewStreamStopped": {f"spreaview_streams_stopped{{{API}}}": "1x180"},
    "SpreaviewLogNotSealed": {f"spreaview_unsealed_seconds{{{WORKER}}}": "3601x180"},
    "SpreaviewHttpFails": {
        f'spreaview_http_request_seconds_count{{route="/",status="5xx",{API}}}': "0+6x180"
    },
    "SpreaviewComponentFails": {
        f'spreaview_component_ok{{component="relay",{WORKER}}}': "0x180",
    },
    "SpreaviewProcessDown": {f"up{{{API}}}": "0x180"},
    "SpreaviewGatheringFails": {f'spreaview_gathering_failed{{reading="relay",{WORKER}}}': "1x180"},
    "SpreaviewMetricsMissing": {f"spreaview_projection_lag_seconds{{{API}}}": "119x20 _x160"},
}
"""What differs from a healthy system, by the alert that has to fire."""


def test_the_rules_are_valid() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_healthy_system_is_silent(tmp_path: Path) -> None:
    assert_firing(HEALTHY, (), tmp_path)


def test_every_alert_has_its_fault() -> None:
    assert list(FAULTS) == [alert.name for alert in alerts()]


@pytest.mark.parametrize("name", FAULTS)
def test_an_alert_fires_on_its_condition_alone(name: str, tmp_path: Path) -> None:
    assert_firing(HEALTHY | FAULTS[name], {name}, tmp_path)
