"""Every command prints each instant in JSON as UTC with `Z`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import typer
from sqlalchemy import text

from cli.main import app
from contracts.topics import SYNC_REQUESTS
from projections.version import CODE_VERSION
from tests.support.documents import WINDOW
from tests.support.line import ORGANIZATION, PATIENCE, Line, a_request, the_line
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

API_ID = "demo2026"
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}\S*")
UTC_FORM = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")

WITHOUT_INSTANTS = {
    *("up", "worker", "projector", "api", "version", "token create"),
    *("demo",),  # its rows are those of `request --wait`
    *("migrate", "import", "export", "replay", "seals export", "erasures export"),
    *("erasures replay", "erase-speaker", "dlq retry", "dlq discard", "relay rewind"),
    *("projections retry", "projections repair", "projections drop"),
}
"""Services, and commands whose JSON is numbers and ids."""


@dataclass
class Scene:
    """A line with an instant of every kind: skips, a dead letter, a stopped stream, and so on."""

    event: UUID
    sync: UUID
    letter: str
    skipped: str
    session: str
    env: dict[str, str]

    def commands(self, folder: Path) -> list[tuple[str, tuple[str, ...]]]:
        """The arguments after each command; the rebuild is the last, for it replaces the rows."""
        event = str(self.event)
        sync = (
            *("--organization-id", str(ORGANIZATION), "--event-id", event, "--api-id", API_ID),
            *("--from", "2026-05-28", "--to", "2026-05-29", "--time-zone", "Europe/Vienna"),
        )
        return [
            ("request", (*sync, "--wait", "--request-id", str(self.sync))),
            ("plan", (*sync, "--force")),
            ("status", ()),
            ("doctor", ()),
            ("relay status", ()),
            ("projections status", ()),
            ("projections generations", ()),
            ("dlq list", ("--all",)),
            ("dlq show", (self.letter,)),
            ("retention", ("--dry-run",)),
            ("history", (event,)),
            ("history", (event, "--session", self.session)),
            ("explain", (event, self.skipped)),
            ("diff", (event, "@0", str(self.sync))),
            ("as-of", (event, "--sync", str(self.sync))),
            ("source show", (str(self.sync), "--output", str(folder / "source"))),
            ("reimport", (event, "--dry-run")),
            ("verify", ()),
            ("projections rebuild", ()),
            ("projections rollback", ()),
        ]


@pytest_asyncio.fixture
async def scene(module_kafka: str, database_url: str) -> AsyncIterator[Scene]:
    async with the_line(module_kafka, database_url, seal_seconds=0.2) as line:
        request, other = a_request(API_ID, WINDOW), a_request(API_ID, WINDOW)
        await line.sync(request)
        await line.sync(other)
        env = environment(
            database_url=database_url,
            kafka_bootstrap_servers=module_kafka,
            sessionize_base_url=line.double.base_url,
        )
        await line.producer.send_and_wait(SYNC_REQUESTS, b"{}", key=b"unreadable")
        await _damage(line, other.spreaview_event_id)
        yield Scene(
            request.spreaview_event_id,
            request.request_id,
            await _letter(env),
            str((await line.rows("skipped_sessions", request.spreaview_event_id))[0]["title"]),
            str((await line.rows("sessions", request.spreaview_event_id))[0]["sessionize_id"]),
            env,
        )


async def _damage(line: Line, stopped: UUID) -> None:
    """Stop a stream, and record an event that the broker refused."""
    async with line.engine.begin() as connection:
        await connection.execute(
            text("""
                UPDATE spreaview_g1.stream_progress
                SET error = 'a fault', stopped_at = now(), code_version = :code
                WHERE spreaview_event_id = :event
            """),
            {"event": stopped, "code": CODE_VERSION},
        )
        await connection.execute(
            text("""
                INSERT INTO event_store.unpublished (position, message_id, reason)
                SELECT position, message_id, 'it is too large' FROM event_store.events LIMIT 1
            """)
        )


async def _letter(env: dict[str, str]) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            done = await asyncio.to_thread(run, "dlq", "list", "--json", env=env)
            if letters := json.loads(done.stdout):
                return str(letters[0]["letter"])
            await asyncio.sleep(0.05)


async def test_every_instant_of_every_command_ends_in_z(scene: Scene, tmp_path: Path) -> None:
    commands = scene.commands(tmp_path)
    assert {command for command, _ in commands} | WITHOUT_INSTANTS == set(
        _leaves(typer.main.get_command(app))
    )
    without = set()
    for command, arguments in commands:
        done = await asyncio.to_thread(run, *command.split(), *arguments, "--json", env=scene.env)
        assert done.stdout, (command, done.stderr)
        texts = _texts([json.loads(value) for value in _values(done.stdout)])
        found = [instant for each in texts for instant in INSTANT.findall(each)]
        wrong = [instant for instant in found if not UTC_FORM.fullmatch(instant.rstrip(".,;)"))]
        assert not wrong, command
        without |= set() if found else {command}
    assert without <= {
        *("doctor", "retention", "verify", "projections rebuild", "projections rollback"),
    }


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _leaves(command.get_command(None, name), (*path, name))
    else:
        yield " ".join(path)


def _values(output: str) -> Sequence[str]:
    """The JSON values of an output: one, or one per line."""
    return [output] if output.startswith("[") else output.splitlines()


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)
