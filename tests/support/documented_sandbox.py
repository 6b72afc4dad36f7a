"""A sandbox on which the statements of the documents are run, as a reader would run them."""

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import yaml

from cli.connections import database
from cli.settings import Settings
from cli.waiting import run_ended
from contracts.topics import SYNC_REQUESTS
from messaging.connection import KafkaConnection
from messaging.requests import producing
from projections.queries import Queries
from tests.support.document_blocks import Block, Call, assignments, calls
from tests.support.forked_commands import Ended, run_forked, serve_forked
from tests.support.freeze import program_folder
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, ROOT, environment, up

EVENT, ORGANIZATION = "a1b2c3d4-0000-4000-8000-000000000001", "5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d"
"""The ids of the documents."""
_PUBLISHED = UUID("0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b")
"""The sync that the README publishes from Python."""
_SERVICES = {"worker": "ready", "projector": "ready", "api": "ready", "up": "ready "}
"""By command that runs until it is stopped: the text that it writes when it is ready."""
_LATE = "No problem was found, but not all could be checked"
"""The verdict of `doctor` on a machine that is busy."""
_PRELUDES = {
    "docs/contributing.md": (
        "from tests.support.documents import document, talk\n"
        "from tests.support.given import given\n"
    )
}
"""Imports that an excerpt leaves out."""


@dataclass
class DocumentedSandbox:
    """A running `up`, the reader's folder, and what the placeholders of the documents stand for."""

    environment: Mapping[str, str]
    database_url: str
    kafka: str
    folder: Path
    free: int = field(default_factory=free_port)
    background: ExitStack = field(default_factory=ExitStack)

    def run(self, block: Block, left_out: Collection[str]) -> Iterator[str]:
        """Run a block, without some statements; yields a text about each one that fails."""
        if block.language == "sh":
            yield from self._run_shell(block, left_out)
        elif block.name in left_out:
            return
        elif block.language == "python":
            yield from _failure(f"{block} python", self._python(block))
        elif block.language == "sql":
            for statement in filter(str.strip, block.code.split(";\n")):
                if not asyncio.run(self._rows(statement)):
                    yield f"{block}: no row: {statement}"
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            yaml.safe_load(block.code)

    def _run_shell(self, block: Block, left_out: Collection[str]) -> Iterator[str]:
        for statement in block.statements():
            if statement in left_out:
                continue
            if (variables := assignments(statement)) is not None:
                _check_settings(variables)
                continue
            filled = self._filled(statement)
            called = calls(filled)
            ended = self._bash(filled) if called is None else self._calls(called)
            yield from _failure(f"{block}: {filled}", ended)

    def _calls(self, calls: list[Call]) -> Ended:
        """Run calls that `&&` joins."""
        ended = Ended(0, "")
        for call in calls:
            if ended.code == 0:
                ended = self._call(call)
        return ended

    def _call(self, call: Call) -> Ended:
        env = {**self.environment, **call.variables}
        name, *_ = call.arguments
        if name == "import":  # into an empty database
            env |= {
                "SPREAVIEW_DATABASE_URL": self._another_database(),
                "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            }
            run_forked(["migrate"], env, self.folder)
        if name == "up":
            env |= {"SPREAVIEW_DATA_DIR": str(self.folder / "another")}
        if (ready := _SERVICES.get(name)) is not None:
            return serve_forked(call.arguments, env, self.folder, ready)
        return run_forked(call.arguments, env, self.folder, given="yes\n")

    def _bash(self, statement: str) -> Ended:
        address = urlsplit(self.database_url)
        env = os.environ | {
            "PATH": f"{program_folder()}:{os.environ['PATH']}",
            "SPREAVIEW_DATABASE_URL": self.database_url,
            "PGHOST": str(address.hostname),
            "PGPORT": str(address.port),
            "PGUSER": str(address.username),
        }
        if statement.endswith(" &"):
            command = ["bash", "-c", f"exec {statement.removesuffix(' &')}"]
            nowhere = subprocess.DEVNULL
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=nowhere, stderr=nowhere
            )
            self.background.callback(process.wait)
            self.background.callback(process.terminate)
            return Ended(0, "")
        return _bash(["bash", "-c", statement], self.folder, env)

    def _python(self, block: Block) -> Ended:
        code = block.code.replace("127.0.0.1:9092", self.kafka)
        program = _PRELUDES.get(block.document, "") + textwrap.dedent(code)
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        ended = _bash([sys.executable, "-c", program], self.folder, env)
        if str(_PUBLISHED) in code:
            asyncio.run(self._end_of_the_published())
        return ended

    async def _end_of_the_published(self) -> None:
        async with database(self.database_url, pool_size=1) as engine:
            await run_ended(Queries(engine), _PUBLISHED, PATIENCE)

    async def _rows(self, statement: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    def _value(self, statement: str) -> str:
        ((value,),) = asyncio.run(self._rows(statement))
        return str(value)

    def _another_database(self) -> str:
        server, _, _ = self.database_url.rpartition("/")
        name = f"imported_{uuid4().hex}"
        asyncio.run(self._rows(f"CREATE DATABASE {name}"))
        return f"{server}/{name}"

    def _filled(self, statement: str) -> str:
        """Replace the placeholders of a statement by values of this sandbox."""
        for pattern, value in _PLACEHOLDERS.items():
            if re.search(pattern, statement):
                statement = re.sub(pattern, value(self), statement)
        return statement

    def port(self) -> str:
        """A free port."""
        return str(self.free)

    def session(self) -> str:
        """A session in the schedule."""
        return self._value(
            "SELECT session_id FROM spreaview.sessions WHERE status = 'scheduled' LIMIT 1"
        )

    def title(self) -> str:
        """The title of a session."""
        return self._value(
            "SELECT title FROM spreaview.sessions GROUP BY 1 HAVING count(*) = 1 LIMIT 1"
        )

    def speaker(self) -> str:
        """A speaker."""
        return self._value("SELECT speaker_id FROM spreaview.speakers ORDER BY 1 LIMIT 1")

    def requester(self) -> str:
        """A person who has requested a sync."""
        name = "Ada Example"
        ids = ("--organization-id", ORGANIZATION, "--event-id", str(uuid4()))
        schedule = ("--api-id", "emptyconf", "--from", "2026-05-28", "--to", "2026-05-29")
        more = ("--time-zone", "Europe/Vienna", "--requested-by", name, "--wait")
        run_forked(["request", *ids, *schedule, *more], self.environment, self.folder)
        return name

    async def _publish(self, value: bytes) -> None:
        async with producing(KafkaConnection(self.kafka)) as producer:
            await producer.send_and_wait(SYNC_REQUESTS, value)

    def letter(self) -> str:
        """An open dead letter: a record that is not JSON."""
        asyncio.run(self._publish(b"not JSON"))
        for _ in range(int(PATIENCE / 0.1)):
            ended = run_forked(["dlq", "list", "--json"], self.environment, self.folder)
            if ended.code == 0 and (letters := json.loads(ended.output)):
                return str(letters[-1]["letter"])
        raise AssertionError("the record did not become a dead letter")


_PLACEHOLDERS: Mapping[str, Callable[[DocumentedSandbox], str]] = {
    r"\bEVENT\b": lambda _: EVENT,
    r"\bORG\b": lambda _: ORGANIZATION,
    r"\bSYNC\b": lambda _: str(_PUBLISHED),
    r"\bID\b(?=.*--in-advance)": lambda _: str(uuid4()),
    r"\bID\b": DocumentedSandbox.speaker,
    r"(?<=--session )41200": DocumentedSandbox.session,
    r"(?<=--to )41200": lambda _: "1",
    r"@1200 \S+": lambda _: "@1 @2",
    "Ada Example": DocumentedSandbox.requester,
    "part of a title": DocumentedSandbox.title,
    r"\b3/17\b": DocumentedSandbox.letter,
    r"(?<==)8080\b|(?<=[ :])8000\b": DocumentedSandbox.port,
    r"127\.0\.0\.1:PORT/api": lambda sandbox: _sessionize(sandbox) + "/api",
}
"""By the text in the documents. Letters, sessions and speakers are those of this sandbox."""


def _sessionize(sandbox: DocumentedSandbox) -> str:
    """The host and the port of the stand-in for Sessionize."""
    written = Path(sandbox.environment["SPREAVIEW_DATA_DIR"], "run.json").read_text("utf-8")
    return str(urlsplit(json.loads(written)["sessionize_base_url"]).netloc)


def _check_settings(variables: Mapping[str, str]) -> None:
    """Check that exported variables are settings of ours; a secret may be in a file."""
    names = {name.removeprefix("SPREAVIEW_").removesuffix("_FILE").lower() for name in variables}
    assert names <= set(Settings.model_fields), variables


def _bash(command: list[str], folder: Path, env: Mapping[str, str]) -> Ended:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Ended(done.returncode, done.stdout + done.stderr)


def _failure(name: str, ended: Ended) -> Iterator[str]:
    if ended.code != 0 and _LATE not in ended.output:
        yield f"{name}\n    ended with {ended.code}: {ended.output[-600:]}"


@contextmanager
def documented_sandbox(folder: Path) -> Iterator[DocumentedSandbox]:
    """Run `up` while the block runs, with a folder like a clone of the repository."""
    place = folder / "clone"
    place.mkdir()
    for name in ("examples", "deploy"):
        (place / name).symlink_to(ROOT / name)
    (place / ".venv").symlink_to(sys.prefix)
    (place / "Makefile").symlink_to(ROOT / "Makefile")
    with up(environment(data_dir=str(folder / "data"))) as running, ExitStack() as background:
        yield DocumentedSandbox(
            running.environment, running.database_url, running.kafka, place, background=background
        )
