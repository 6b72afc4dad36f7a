"""Finds the worker that leads, and watches a takeover."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import asyncpg

from tests.support.chaos.members import Member
from tests.support.chaos.oracle.names import LEADER_LOCK
from tests.support.chaos.oracle.views import PASSING

_LOOK_SECONDS = 0.1
_HOLDER = """
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
      AND (l.classid::bigint << 32) | l.objid::bigint = $1
"""


async def leader_among(url: str, members: Mapping[str, Member], seconds: float) -> Member | None:
    """Return the member that leads; None if no member leads within this time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                pid = await _leading_pid(url)
                for member in members.values():
                    if pid is not None and member.pid == pid:
                        return member
                await asyncio.sleep(_LOOK_SECONDS)
    return None


async def takeover_after(url: str, deposed: Member, seconds: float) -> float | None:
    """Return the seconds until another process leads; None if none does within this time."""
    began, pid = time.monotonic(), deposed.pid
    while time.monotonic() - began < seconds:
        if await _leading_pid(url) not in (pid, None):
            return time.monotonic() - began
        await asyncio.sleep(_LOOK_SECONDS)
    return None


async def _leading_pid(url: str) -> int | None:
    """Return the process id at the end of the name of the leader's connection."""
    try:
        connection = await asyncpg.connect(url)
        try:
            name = await connection.fetchval(_HOLDER, LEADER_LOCK)
        finally:
            connection.terminate()
    except PASSING:
        return None
    return None if name is None else int(name.rpartition(":")[2])
