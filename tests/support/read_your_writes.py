"""Pairs of a sync and a read of its outcome, while projectors are killed and a replica lags.

The HTTP side reads through a proxy that leads to the primary or to a replica which is paused from
time to time: two connections of one pool may show different states, as behind a load balancer.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import Addresses, database
from cli.sandbox.postgres import postgres
from cli.services import Role, running
from cli.serving_api import serving_http_side
from cli.settings import Settings
from contracts.identity import room_id, session_code, session_id
from eventstore.migrate import migrate
from messaging.connection import KafkaConnection
from projections.http.application import Security
from projections.prepare import prepare
from tests.support.chaos.members import Member, members
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.documents import WINDOW, document, room, speaker, talk
from tests.support.line import ORGANIZATION
from tests.support.ports import free_port
from tests.support.processes import COMMAND, environment
from tests.support.replica import Replica, streaming_replica
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import Double, sessionize_double

PROJECTORS = 2
AT = "2026-05-28T09:10:00+02:00"
_WAIT_SECONDS = 1
_TRIES = 120
"""A read that is `not-yet` this often fails the run."""

_OUTCOME = text("""
    SELECT version FROM event_store.events
    WHERE stream_id = :event AND type = 'SyncCompleted' AND data->>'sync_id' = :sync
""")


@dataclass
class Scene:
    """The running system, and its disturbances."""

    http: httpx.AsyncClient
    double: Double
    engine: AsyncEngine
    """Of the primary."""
    replica: Replica
    to_replica: Proxy
    ports: tuple[int, int]
    """Of the replica and the primary."""
    projectors: list[Member]
    disturbances: Counter[str] = field(default_factory=Counter)

    async def disturb(self, seed: int, *, kill_seconds: float) -> None:
        """Lag, switch between replica and primary, and kill projectors, until cancelled."""
        random_ = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kill(random_, kill_seconds))
            group.create_task(self._lag(random_))
            group.create_task(self._switch(random_))

    async def _kill(self, random_: random.Random, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds * random_.uniform(0.5, 1.5))
            projector = random_.choice(self.projectors)
            starts = _starts(projector)
            await projector.kill()
            self.disturbances["projectors killed"] += 1
            while _starts(projector) == starts:  # noqa: ASYNC110 (one works at any time)
                await asyncio.sleep(0.2)

    async def _lag(self, random_: random.Random) -> None:
        while True:
            await asyncio.sleep(random_.uniform(0, 0.3))
            await self.replica.pause()
            try:
                await asyncio.sleep(random_.uniform(0.05, 0.6))
            finally:
                await self.replica.resume()
            self.disturbances["replica paused"] += 1

    async def _switch(self, random_: random.Random) -> None:
        while True:
            self.to_replica.target = random_.choice(self.ports)
            await asyncio.sleep(random_.uniform(0.001, 0.02))  # one pool leads to both databases
            if random_.random() < 0.002:
                self.to_replica.cut()
                self.disturbances["connections cut"] += 1


@asynccontextmanager
async def reading_scene(kafka: str, folder: Path) -> AsyncIterator[Scene]:
    """Start everything: the worker and the HTTP side in this process, projectors as processes."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        url = await enter(postgres(folder / "primary", settings={"fsync": "off"}))
        engine = await enter(database(url, pool_size=8))
        await migrate(engine)
        await prepare(engine)
        replica = await enter(streaming_replica(url, folder))
        to_replica = await enter(proxy(await asyncio.to_thread(free_port)))
        ports = _port(replica.url), _port(url)
        to_replica.target = ports[0]
        double = await enter(sessionize_double(Documents()))
        connection = KafkaConnection(kafka)
        addresses = Addresses(url, connection, double.base_url, False)
        settings = Settings(
            database_pool=8,
            relay_poll_seconds=0.2,
            read_database_url=url.replace(str(ports[1]), str(to_replica.port)),
        )
        background = await enter(running(Role.WORKER, settings, addresses))
        stack.callback(lambda: background.done() and background.result())
        env = environment(
            database_url=url,
            kafka_bootstrap_servers=kafka,
            kafka_transactions="false",
            sweep_seconds="0.3",
            data_dir=str(folder / "data"),
        )
        names = [f"projector-{number}" for number in range(PROJECTORS)]
        started = await enter(
            members(
                {name: [*COMMAND, "projector"] for name in names},
                dict.fromkeys(names, env),
                folder,
            )
        )
        served = await enter(serving_http_side(settings, addresses, Security(None)))
        http = await enter(httpx.AsyncClient(base_url=served.url, timeout=60))
        yield Scene(http, double, engine, replica, to_replica, ports, list(started.values()))


@dataclass
class Tally:
    """The answers to the reads."""

    pairs: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    """Answers that are older than asked for."""
    wrong: list[str] = field(default_factory=list)
    """Answers without the outcome and without a reason."""
    waits: list[float] = field(default_factory=list)
    """Seconds from a request of a sync to the read that shows it."""

    def table(self, disturbances: Counter[str]) -> str:
        """The tally for people."""
        waits = sorted(self.waits) or [0.0]
        rows: dict[str, object] = {
            "pairs": self.pairs,
            **dict(sorted(self.answers.items())),
            **dict(sorted(disturbances.items())),
            "median seconds": round(waits[len(waits) // 2], 3),
            "p99 seconds": round(waits[len(waits) * 99 // 100], 3),
            "wrong": len(self.wrong),
            "stale": len(self.stale),
        }
        return "\n".join(f"{name:<24}{value}" for name, value in rows.items())


@dataclass
class Writer:
    """Syncs one SpreaView event again and again, and reads each outcome."""

    scene: Scene
    tally: Tally
    number: int
    event_id: UUID = field(default_factory=uuid4)

    async def pair(self, count: int) -> None:
        """Change the title of a talk, request a sync, and read it back in one of three ways."""
        title = f"Talk {count} of event {self.number}"
        self.scene.double.serve(self._api_id, json.dumps(_document(title)).encode())
        began = time.monotonic()
        mode = ("prefer-wait", "wait_for_sync", "min_version")[count % 3]
        headers = {"Prefer": f"wait={_WAIT_SECONDS}"} if mode == "prefer-wait" else {}
        sync_id = uuid4()
        answer = await self._request(sync_id, headers)
        wanted = {"wait_for_sync": str(sync_id)}
        if answer.status_code == 200:
            self._compare(answer, title, f"POST with {headers}", 0)
            wanted = {"min_version": str(answer.json()["shown"]["version"])}
        elif answer.status_code != 202:
            self.tally.wrong.append(f"POST: {answer.status_code} {answer.text}")
            return
        elif mode == "min_version":
            wanted = {"min_version": str(await self._version_of(sync_id))}
        await self._read(count, sync_id, title, wanted)
        self.tally.waits.append(time.monotonic() - began)
        self.tally.pairs += 1

    async def _read(self, count: int, sync_id: UUID, title: str, wanted: dict[str, str]) -> None:
        path, more = self._places(sync_id)[count % 5]
        for _ in range(_TRIES):
            answer = await self.scene.http.get(
                path, params=more | wanted, headers={"Prefer": f"wait={_WAIT_SECONDS}"}
            )
            match answer.status_code:
                case 200:
                    self._compare(answer, title, f"{path} {wanted}", _version(wanted))
                    return
                case 409 if answer.headers.get("retry-after") and "not-yet" in answer.text:
                    self.tally.answers["not-yet"] += 1
                case 503 if answer.headers.get("retry-after"):
                    self.tally.answers["unavailable"] += 1
                case status:
                    self.tally.wrong.append(f"{path} {wanted}: {status} {answer.text[:300]}")
                    return
        self.tally.wrong.append(f"{path} {wanted}: not visible after {_TRIES} reads")

    def _compare(self, answer: httpx.Response, title: str, asked: str, version: int) -> None:
        is_fresh = title in answer.text
        if answer.headers["content-type"] == "application/json":
            is_fresh = is_fresh and answer.json()["shown"]["version"] >= version
        self.tally.answers["fresh" if is_fresh else "stale"] += 1
        if not is_fresh:
            self.tally.stale.append(f"{asked}: no {title!r} in {answer.text[:300]}")

    def _places(self, sync_id: UUID) -> list[tuple[str, dict[str, str]]]:
        event = f"/v1/events/{self.event_id}"
        code = session_code(session_id(self.event_id, "1"))
        return [
            (f"{event}/schedule", {}),
            (f"{event}/syncs/{sync_id}", {}),
            (f"/v1/sessions/{code}", {}),
            (f"{event}/rooms/{room_id(self.event_id, '7')}/now", {"at": AT}),
            (f"/events/{self.event_id}", {}),
        ]

    async def _version_of(self, sync_id: UUID) -> int:
        """The version of the outcome in the log, once it is there."""
        values = {"event": self.event_id, "sync": str(sync_id)}
        while True:
            async with self.scene.engine.connect() as connection:
                found = (await connection.execute(_OUTCOME, values)).scalar_one_or_none()
            if found is not None:
                return int(found)
            await asyncio.sleep(0.02)

    @property
    def _api_id(self) -> str:
        return f"reader{self.number:04}"

    async def _request(self, sync_id: UUID, headers: dict[str, str]) -> httpx.Response:
        """Request a sync, with the same id again while the server is unavailable."""
        body = {
            "request_id": str(sync_id),
            "organization_id": str(ORGANIZATION),
            "sessionize_api_id": self._api_id,
            "window": {
                "starts_on": str(WINDOW.starts_on),
                "ends_on": str(WINDOW.ends_on),
                "time_zone": WINDOW.time_zone,
            },
        }
        path = f"/v1/events/{self.event_id}/syncs"
        while True:
            answer = await self.scene.http.post(path, json=body, headers=headers)
            if answer.status_code != 503:
                return answer
            self.tally.answers["unavailable"] += 1


async def read_pairs(
    scene: Scene,
    pairs: int,
    *,
    seed: int,
    writers: int = 8,
    seconds: float = 3600,
    kill_seconds: float = 2,
    until_stale: bool = False,
) -> Tally:
    """Do that many pairs, or as many as the time allows, under disturbances."""
    tally = Tally()
    began = time.monotonic()
    counts = iter(range(pairs))

    async def write(writer: Writer) -> None:
        for count in counts:
            if time.monotonic() - began > seconds or (until_stale and tally.stale):
                return
            await writer.pair(count)

    disturbing = asyncio.create_task(scene.disturb(seed, kill_seconds=kill_seconds))
    try:
        await asyncio.gather(*(write(Writer(scene, tally, number)) for number in range(writers)))
    finally:
        disturbing.cancel()
        with suppress(asyncio.CancelledError):
            await disturbing
    return tally


def _document(title: str) -> dict[str, Any]:
    return document(
        talk("1", title=title),
        talk("2", room=8),
        rooms=[room(7), room(8)],
        speakers=[speaker("ada")],
    )


def _version(wanted: dict[str, str]) -> int:
    return int(wanted.get("min_version", 0))


def _starts(projector: Member) -> int:
    return projector.log_path.read_text("utf-8", "replace").count("PROJECTOR: ready")


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
