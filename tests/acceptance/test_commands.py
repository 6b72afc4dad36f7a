"""The commands as their users run them, in separate processes."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from sqlalchemy import text

from cli.connections import database
from tests.support.processes import PATIENCE, Up, environment, request, run, up

DAYS = ("2026-05-28", "2026-05-29")
ZONE = "Europe/Vienna"


@pytest.fixture(scope="module")
def running_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(environment(data_dir=str(tmp_path_factory.mktemp("up")))) as running:
        yield running


def test_up_answers_health_on_its_http_port(running_up: Up) -> None:
    for path in ("/live", "/ready"):
        answer = httpx.get(f"{running_up.http}{path}", timeout=PATIENCE)
        assert answer.status_code == 200
        assert {"PostgreSQL", "Kafka", "relay", "projector", "intake"} <= set(
            answer.json()["components"]
        )


def test_the_demo_shows_the_request_its_events_and_its_rows(tmp_path: Path) -> None:
    env = environment(data_dir=str(tmp_path / "data")) | {"COLUMNS": "160"}
    done = run("demo", env=env)
    assert done.returncode == 0, done.stderr
    for shown in (
        "The request",
        "The events",
        "The read models",
        "The sync completed",
        "Skipped",
    ):
        assert shown in done.stdout
    assert "starts before the event's first day" in done.stdout
    assert "Next steps" in done.stdout
    assert list((tmp_path / "data").iterdir()) == [], "the demo leaves nothing behind"


def test_a_request_reports_its_outcome(running_up: Up) -> None:
    event, organization = uuid4(), uuid4()
    code, answer = request(
        running_up.environment,
        event_id=event,
        organization_id=organization,
        api_id="demo2026",
        days=DAYS,
        time_zone=ZONE,
        more=("--requested-by", "Ada Example", "--timings"),
    )
    assert code == 0
    run_row = answer["sync_run"]
    assert run_row["status"] == "completed"
    assert run_row["spreaview_event_id"] == str(event)
    assert run_row["requested_by"] == "Ada Example"
    assert run_row["counts"]["sessions"]["added"] > 0
    assert {row["reason"] for row in answer["skipped_sessions"]} == {
        "before_window",
        "after_window",
        "unscheduled",
    }
    assert answer["timings"]["visible"] > 0


def test_a_failed_request_exits_with_1_and_shows_the_remedy(running_up: Up) -> None:
    arguments = ("--event-id", str(uuid4()), "--organization-id", str(uuid4()))
    days = ("--from", DAYS[0], "--to", DAYS[1], "--time-zone", ZONE)
    done = run(
        "request", "--wait", *arguments, "--api-id", "unannounc", *days, env=running_up.environment
    )
    assert done.returncode == 1
    assert "schedule_not_announced" in done.stdout
    assert "Announce the schedule in Sessionize" in done.stdout


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--event-id", "not-a-uuid", "not a UUID"),
        ("--from", "28.5.2026", "not a date"),
        ("--allow-removals", "-1", "--allow-removals"),
    ],
)
def test_a_wrong_option_exits_with_2_and_is_named(
    running_up: Up, option: str, value: str, expected: str
) -> None:
    options = {
        "--event-id": str(uuid4()),
        "--organization-id": str(uuid4()),
        "--api-id": "demo2026",
        "--from": DAYS[0],
        "--to": DAYS[1],
        "--time-zone": ZONE,
        option: value,
    }
    done = run(
        "request", *(w for pair in options.items() for w in pair), env=running_up.environment
    )
    assert done.returncode == 2
    assert expected in done.stderr


def test_a_second_up_on_the_same_folder_is_refused(running_up: Up) -> None:
    done = run("up", env=running_up.environment)
    assert done.returncode == 2
    assert "SPREAVIEW_DATA_DIR" in done.stderr


def test_a_command_without_an_address_names_the_variable(tmp_path: Path) -> None:
    for command in ("worker", "projector", "migrate"):
        done = run(command, env=environment(data_dir=str(tmp_path)))
        assert done.returncode == 2
        assert "SPREAVIEW_DATABASE_URL" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("database_url", "mysql://host/db", "postgresql://"),
        ("kafka_bootstrap_servers", "localhost", "host:port"),
        ("sessionize_base_url", "sessionize.com", "https://"),
        ("fetch_attempts", "many", "attempts of a fetch"),
        ("log_level", "LOUD", "DEBUG, INFO"),
    ],
)
def test_a_wrong_setting_is_named_with_its_expected_form(
    name: str, value: str, expected: str
) -> None:
    done = run("worker", env=environment(**{name: value}))
    assert done.returncode == 2
    assert f"SPREAVIEW_{name.upper()}" in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stopped_up_leaves_only_its_database(tmp_path: Path) -> None:
    env = environment(data_dir=str(tmp_path / "data"))
    event, organization = uuid4(), uuid4()
    with up(env) as first:
        code, answer = request(
            env,
            event_id=event,
            organization_id=organization,
            api_id="demo2026",
            days=DAYS,
            time_zone=ZONE,
        )
        assert code == 0
        children = first.children()
        assert children
        assert first.stop() == 0
    gone, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert (len(gone), alive) == (len(children), [])
    assert not (tmp_path / "data" / "run.json").exists()

    with up(env):
        code, again = request(
            env,
            event_id=event,
            organization_id=organization,
            api_id="demo2026",
            days=DAYS,
            time_zone=ZONE,
        )
    assert code == 0
    added = answer["sync_run"]["counts"]["sessions"]["added"]
    assert again["sync_run"]["counts"]["sessions"]["unchanged"] == added


def test_the_servers_end_with_a_killed_up(tmp_path: Path) -> None:
    with up(environment(data_dir=str(tmp_path / "data"))) as running:
        children = running.children()
        assert children
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(PATIENCE)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []


def test_no_log_line_and_no_event_contains_the_api_id(tmp_path: Path) -> None:
    secret = "s3cretid42"
    env = environment(data_dir=str(tmp_path / "data"), log_level="DEBUG")
    with up(env) as running:
        code, answer = request(
            env,
            event_id=uuid4(),
            organization_id=uuid4(),
            api_id=secret,
            days=DAYS,
            time_zone=ZONE,
        )
        events = asyncio.run(everything_stored(running.database_url))
    assert (code, answer["sync_run"]["failure_code"]) == (1, "api_id_not_found")
    assert answer["sync_run"]["api_id_masked"] == "s3********"
    assert "api_id_not_found" in events
    assert "api_id_not_found" in running.logged.read_text()
    assert secret not in events + running.logged.read_text() + json.dumps(answer)


async def everything_stored(database_url: str) -> str:
    tables = ("event_store.events", "event_store.personal_data", "spreaview.sync_runs")
    async with database(database_url, pool_size=1) as engine, engine.connect() as connection:
        found = [await connection.execute(text(f"SELECT * FROM {table}")) for table in tables]
        return "\n".join(str(row) for rows in found for row in rows)
