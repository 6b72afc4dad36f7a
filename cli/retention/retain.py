"""Delete old data by the retention settings, kind by kind.

The log itself is never deleted. Each kind is deleted in small transactions. Run it
again at any time; two processes may run it at once.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cli.connections import Addresses
from cli.errors import CommandError
from cli.servers import kafka_errors
from cli.settings import Settings
from contracts.wording import counted
from eventstore.inbox import count_entries, prune_inbox
from eventstore.sources import count_sources, prune_sources
from messaging.dead_letters.retention import plan_pruning, prune_letters
from messaging.topic_reader import open_topic_reader
from projections.generations import GenerationsError
from projections.rebuild.dropping import drop_old_generations, old_generations

_BATCH = 1000

COUNTS = text("""
    SELECT (SELECT count(*) FROM event_store.events) AS events,
           (SELECT count(*) FROM event_store.erased_subjects) AS erased
""")


class Retained(NamedTuple):
    """One kind of data: the number that goes or would go, the number that stays, and the reason."""

    kind: str
    setting: str | None
    """The variable that limits the age or the number; None if the kind is always kept."""
    gone: int
    """Number that was deleted, or would be in a dry run."""
    kept: int | None
    """Number that stays; None if it is not known."""
    why: str
    """Why the rest stays, as a phrase."""
    problem: str | None = None
    """Why the kind could not be looked at, or not be deleted."""

    def to_json(self) -> dict[str, object]:
        """The fields by name."""
        return dict(self._asdict())


Prune = Callable[[AsyncConnection, timedelta, int], Awaitable[int]]
Count = Callable[[AsyncConnection, timedelta | None], Awaitable[int]]


class Retention:
    """The retention of one installation.

    Args:
        engine: of the owner of the database, on an address that may hold session locks.
        is_dry: whether to delete nothing.
    """

    def __init__(
        self, engine: AsyncEngine, addresses: Addresses, settings: Settings, *, is_dry: bool
    ) -> None:
        self._engine = engine
        self._addresses = addresses
        self._settings = settings
        self._is_dry = is_dry

    async def run(self) -> list[Retained]:
        """Go through every kind. A server that does not answer is the problem of its kind."""
        settings = self._settings
        return [
            await self._aged(
                "inbox", "INBOX_RETENTION_DAYS", settings.inbox_retention_days, count_entries,
                prune_inbox,
            ),
            await self._aged(
                "sources", "SOURCE_RETENTION_DAYS", settings.source_retention_days, count_sources,
                prune_sources,
            ),
            await self._dead_letters(),
            await self._generations(),
            *await self._always(),
        ]  # fmt: skip

    async def _aged(
        self, kind: str, name: str, days: int | None, count: Count, prune: Prune
    ) -> Retained:
        setting = f"SPREAVIEW_{name}"
        async with self._engine.connect() as connection:
            total = await count(connection, None)
            if days is None:
                return Retained(kind, setting, 0, total, f"{setting} is not set")
            old = await count(connection, timedelta(days=days))
        why = f"not older than {counted(days, 'day')}"
        if self._is_dry:
            return Retained(kind, setting, old, total - old, why)
        gone = 0
        while True:
            async with self._engine.begin() as connection:
                pruned = await prune(connection, timedelta(days=days), _BATCH)
            gone += pruned
            if pruned == 0:
                return Retained(kind, setting, gone, max(0, total - gone), why)

    async def _dead_letters(self) -> Retained:
        setting = "SPREAVIEW_DEAD_LETTER_RETENTION_DAYS"
        of = partial(Retained, "dead letters", setting)
        days = self._settings.dead_letter_retention_days
        if days is None:
            return of(0, None, f"{setting} is not set")
        before = int((time.time() - timedelta(days=days).total_seconds()) * 1000)
        why = f"resolved less than {counted(days, 'day')} ago, or behind a letter that stays"
        kafka = self._addresses.kafka
        try:
            with kafka_errors(kafka, "the dead letters cannot be pruned"):
                async with open_topic_reader(kafka) as reader:
                    plan = await plan_pruning(reader, before)
                    if not self._is_dry:
                        await prune_letters(reader, plan)
        except CommandError as error:
            return of(0, None, why, str(error))
        return of(plan.records, plan.kept, f"{plan.kept_open} open; the others: {why}")

    async def _generations(self) -> Retained:
        setting = "SPREAVIEW_GENERATIONS_KEPT"
        of = partial(Retained, "generations", setting)
        keep = self._settings.generations_kept
        async with self._engine.connect() as connection:
            old = await old_generations(connection)
        if keep is None:
            return of(0, len(old) + 1, f"{setting} is not set")
        why = f"the live one, and {counted(keep, 'generation')} for a rollback"
        gone, problem = old[keep:], None
        if gone and not self._is_dry:
            try:
                gone = await drop_old_generations(self._engine, keep)
            except GenerationsError as error:
                gone, problem = [], str(error)
        return of(len(gone), len(old) - len(gone) + 1, why, problem)

    async def _always(self) -> list[Retained]:
        async with self._engine.connect() as connection:
            row = (await connection.execute(COUNTS)).one()
        erased = "the next sync would import a person again; erase-speaker --lift ends an erasure"
        return [
            Retained("erased persons", None, 0, row.erased, erased),
            Retained("events", None, 0, row.events, "the log is the history, and is never deleted"),
        ]
