"""The sandbox's fixed ports, its addresses without further settings, and its stand-in."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, Up, environment, request, run, up
from tests.support.services import service

EVENT, ORGANIZATION = uuid5(NAMESPACE_URL, "event"), uuid5(NAMESPACE_URL, "organization")
DAYS = ("2026-05-28", "2026-05-29")


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def running_up(tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, int]) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    env = environment(
        data_dir=str(folder / "data"), postgres_port=str(ports[0]), kafka_port=str(ports[1])
    )
    with up(env) as running:
        yield running


def direct(running: Up, folder: Path) -> dict[str, str]:
    """The environment of somebody who is given the addresses, and nothing else."""
    return environment(
        data_dir=str(folder),
        database_url=running.database_url,
        kafka_bootstrap_servers=running.kafka,
    )


def test_the_ports_are_those_of_the_settings(running_up: Up, ports: tuple[int, int]) -> None:
    assert running_up.database_url.endswith(f"@127.0.0.1:{ports[0]}/spreaview")
    assert running_up.kafka == f"127.0.0.1:{ports[1]}"


OF_OTHER_SERVERS = {
    "read_database_url": "postgresql://u@127.0.0.1:1/x",
    "kafka_manage_topics": "false",
    "kafka_transactions": "true",
}


def test_up_ignores_settings_about_other_servers(tmp_path: Path) -> None:
    with up(environment(data_dir=str(tmp_path / "data"), **OF_OTHER_SERVERS)) as running:
        ready = httpx.get(f"{running.http}/ready", timeout=PATIENCE)
    assert (ready.status_code, "replica" in ready.json()["components"]) == (200, False)


def test_the_demo_ignores_named_servers_and_settings_about_them(tmp_path: Path) -> None:
    nowhere = "postgresql://u@127.0.0.1:1/x"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = environment(
            data_dir=str(tmp_path / "data"),
            database_url=nowhere,
            direct_database_url=nowhere,
            kafka_bootstrap_servers="127.0.0.1:1",
            health_port=str(taken.getsockname()[1]),
            **OF_OTHER_SERVERS,
        )
        done = run("demo", env=env)
    assert done.returncode == 0, done.stderr
    assert "The sync completed" in done.stdout


@pytest.mark.parametrize("name", ["postgres_port", "kafka_port"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", env=environment(data_dir=str(tmp_path / "data"), **{name: str(port)}))
    variable = f"SPREAVIEW_{name.upper()}"
    assert done.returncode == 2
    assert f"{variable}: another process listens on port {port}. Remedy: stop that" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("relay", "status"), ("status",), ("relay", "rewind")])
def test_a_command_needs_only_the_addresses(
    running_up: Up, tmp_path: Path, command: tuple[str, ...]
) -> None:
    code, _ = request(
        running_up.environment,
        event_id=EVENT,
        organization_id=ORGANIZATION,
        api_id="demo2026",
        days=DAYS,
        time_zone="Europe/Vienna",
    )
    assert code == 0
    options = ("--to", "0") if command == ("relay", "rewind") else ()
    done = run(*command, *options, "--json", env=direct(running_up, tmp_path))
    assert done.returncode in (0, 1), done.stderr  # 1: the relay may be some events behind
    assert done.stderr == ""
    told = json.loads(done.stdout)
    if command == ("status",):
        assert "error" not in told["relay"]


def test_a_worker_needs_only_the_addresses_and_names_what_is_missing(
    running_up: Up, tmp_path: Path
) -> None:
    async def watch() -> None:
        settings = {
            "database_url": running_up.database_url,
            "kafka_bootstrap_servers": running_up.kafka,
            "kafka_transactions": "true",  # as by default
        }
        with service("worker", tmp_path, **settings) as worker:
            await worker.line(event="WORKER: ready")
            await worker.line(
                event=f"Kafka at {running_up.kafka} is the broker of a sandbox: it has no "
                "transactions"
            )

    asyncio.run(watch())


def test_the_stand_in_names_itself_when_it_does_not_know_an_api_id(running_up: Up) -> None:
    code, told = request(
        running_up.environment,
        event_id=EVENT,
        organization_id=ORGANIZATION,
        api_id="jl4ktls0",
        days=DAYS,
        time_zone="Europe/Vienna",
    )
    assert (code, told["sync_run"]["failure_code"]) == (1, "api_id_not_found")
    assert told["sync_run"]["failure_message"] == (
        "The sandbox's stand-in for Sessionize does not know this API ID. Sessionize itself was "
        "not asked."
    )
    remedy = told["sync_run"]["failure_remedy"]
    assert "SPREAVIEW_SESSIONIZE_BASE_URL=https://sessionize.com/api/v2" in remedy
