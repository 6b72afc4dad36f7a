"""Erasing a speaker everywhere: the log, every generation of read models, in one transaction."""

from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.erasure import Erased, ErasureRepeatError, erase_speaker, lift_erasure
from projections.generations import forget_speaker


class Erasure(NamedTuple):
    """What was done."""

    erasure_id: UUID
    """`sync_id` of the events that say so."""
    erased: Erased
    rows: int
    """Rows of read models, of all generations, that lost their personal fields."""


async def erase(engine: AsyncEngine, organization_id: UUID, speaker_id: UUID) -> Erasure:
    """Forget a speaker of an organization, in one transaction; safe to repeat.

    Afterwards they stay linked to their sessions without a personal field, whatever Sessionize
    says, until the erasure is lifted.
    """
    erasure_id = uuid4()
    while True:
        try:
            async with engine.begin() as connection:
                rows = await forget_speaker(connection, organization_id, speaker_id)
                erased = await erase_speaker(
                    connection,
                    organization_id=organization_id,
                    speaker_id=speaker_id,
                    erasure_id=erasure_id,
                )
                return Erasure(erasure_id, erased, rows)
        except ErasureRepeatError:
            continue


async def lift(engine: AsyncEngine, speaker_id: UUID) -> bool:
    """End an erasure: the next run imports what Sessionize says. False if there was none."""
    async with engine.begin() as connection:
        return await lift_erasure(connection, speaker_id)
