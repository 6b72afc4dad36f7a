"""The interface of every source of a broker, and the wait for its start."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

from cli.sandbox.kafka import broker_answers

LOOPBACK = "127.0.0.1"
START_SECONDS = 90.0
STOP_SECONDS = 30.0

_LOOK_SECONDS = 0.05


class NoKafkaError(Exception):
    """Why a broker cannot be had in this way."""


class Broker(Protocol):
    """A broker of one test, which may stop, kill and start it again."""

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`; stays the same over a restart, as do the data."""

    async def start(self) -> None:
        """Start it again; it answers when this returns."""

    async def stop(self) -> None:
        """Ask it to end, as an operator does; it is gone when this returns."""

    async def kill(self) -> None:
        """End it as a power cut does; it is gone when this returns."""


def new_cluster_id() -> str:
    """An id by which this very broker is recognised; begins with a letter, as tools want."""
    return urlsafe_b64encode(b"\0" + uuid4().bytes[1:]).decode()[:22]


async def until_it_answers(address: str, cluster_id: str, look: Callable[[], None]) -> None:
    """Return once the broker with this id answers.

    Args:
        look: called from time to time; raises if it makes no sense to go on.

    Raises:
        TimeoutError: it does not answer within START_SECONDS.
    """
    async with asyncio.timeout(START_SECONDS):
        while not await broker_answers(address, cluster_id):
            look()
            await asyncio.sleep(_LOOK_SECONDS)
