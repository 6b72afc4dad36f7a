"""Services as processes, with JSON logs and health endpoints."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment


@dataclass
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def line(self, **fields: object) -> dict[str, Any]:
        """Wait for a line with these fields; the first of them."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for line in self.lines():
                    if fields.items() <= line.items():
                        return line
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def ready(self, detail: str, component: str = "start") -> dict[str, Any]:
        """Wait until a component of `/ready` has this in its detail; the whole body."""
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as client:
            while True:
                try:
                    body = (await client.get(f"http://127.0.0.1:{self.port}/ready")).json()
                    if detail in body["components"].get(component, {}).get("detail", ""):
                        return dict(body)
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)


@contextmanager
def service(role: str, folder: Path, **settings: str) -> Iterator[Service]:
    """A service with JSON logs; killed at the end if it still runs."""
    port = free_port()
    usual = {
        "data_dir": str(folder),
        "kafka_transactions": "false",
        "kafka_session_seconds": "1",
        "sessionize_base_url": "http://127.0.0.1:9/api/v2",
        "fetch_attempts": "1",
        "health_port": str(port),
        "health_period_seconds": "0.2",
    }
    log = folder / f"{role}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, role, "--json"],
            env=environment(**usual | settings),
            cwd=ROOT,
            stderr=output,
        )
    try:
        yield Service(process, log, port)
    finally:
        process.kill()
        process.wait()
