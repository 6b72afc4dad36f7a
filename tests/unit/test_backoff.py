"""One line per change of state: works again only after the operation that failed has succeeded."""

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

import pytest

from messaging.backoff import log_failing, log_working, retry_until_success

pytestmark = pytest.mark.asyncio

PATIENCE = 5.0


@pytest.fixture
def server(caplog: pytest.LogCaptureFixture) -> str:
    caplog.set_level(logging.INFO, "messaging.backoff")
    return f"server {uuid4()}"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, server: str) -> Callable[[], list[str]]:
    def lines() -> list[str]:
        """The logged states of the server."""
        found = [record.getMessage() for record in caplog.records]
        return [line.removeprefix(f"{server} ").split(";")[0] for line in found]

    return lines


async def test_the_success_of_another_operation_ends_no_failure(
    server: str, logged: Callable[[], list[str]]
) -> None:
    topics_exist = asyncio.Event()
    tries = 0

    async def declare() -> None:
        nonlocal tries
        tries += 1
        if not topics_exist.is_set():
            raise OSError("a topic is missing")

    waiting = asyncio.create_task(
        retry_until_success(
            server, declare, on=lambda _: True, first_wait=0.001, longest_wait=0.001
        )
    )
    async with asyncio.timeout(PATIENCE):
        while tries < 5:
            await asyncio.sleep(0.001)
            log_working(server, operation="the check that the server answers")
        assert logged() == ["is failing"]
        topics_exist.set()
        await waiting
    assert logged() == ["is failing", "works again"]


async def test_the_last_of_several_operations_ends_the_failure(
    server: str, logged: Callable[[], list[str]]
) -> None:
    for operation in ("one", "two", "one"):
        log_failing(server, "down", operation=operation)
    log_working(server, operation="one")
    assert logged() == ["is failing"]
    log_working(server, operation="two")
    log_working(server, operation="two")
    assert logged() == ["is failing", "works again"]


async def test_an_operation_that_is_given_up_does_not_hold_the_failure(
    server: str, logged: Callable[[], list[str]]
) -> None:
    failed = asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise OSError("down")

    waiting = asyncio.create_task(retry_until_success(server, fail, on=lambda _: True))
    await failed.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert logged() == ["is failing"]
    log_working(server, operation="another")
    assert logged() == ["is failing", "works again"]
