"""Readers of the log let events gather: after a hint, and in a burst."""

import asyncio
from collections.abc import Iterable
from uuid import UUID, uuid4

import pytest

from eventstore.wakeup import WakeUp, gather

pytestmark = pytest.mark.asyncio

GATHER = 0.05


async def test_a_hint_wakes_a_gathering_reader_after_its_time() -> None:
    loop = asyncio.get_running_loop()
    wake_up = WakeUp(poll_seconds=600, gather_seconds=GATHER)
    began = loop.time()

    wake_up.hint()
    await wake_up.wait()

    assert loop.time() - began >= GATHER


async def test_hints_while_a_reader_gathers_wake_it_once() -> None:
    wake_up = WakeUp(poll_seconds=600, gather_seconds=GATHER)
    wake_up.hint()
    waiting = asyncio.create_task(wake_up.wait())
    await asyncio.sleep(0)
    wake_up.hint()
    await waiting

    again = asyncio.create_task(wake_up.wait())
    done, _ = await asyncio.wait({again}, timeout=2 * GATHER)
    assert not done

    wake_up.hint()
    await again


async def test_the_poll_interval_wakes_a_gathering_reader_at_once() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    await WakeUp(poll_seconds=0.001, gather_seconds=600).wait()

    assert loop.time() - began < 60


async def pauses_after(streams: Iterable[UUID]) -> bool:
    pause = asyncio.create_task(gather(streams))
    await asyncio.sleep(0)
    is_pausing = not pause.done()
    pause.cancel()
    return is_pausing


async def test_a_reader_lets_the_events_of_a_burst_gather() -> None:
    assert await pauses_after([uuid4(), uuid4()])


async def test_a_reader_takes_the_events_of_a_single_sync_at_once() -> None:
    stream = uuid4()
    assert not await pauses_after([stream, stream])
    assert not await pauses_after([])
