"""`worker` and `projector`: one role, until a signal."""

import asyncio

from cli.runfile import resolve
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import until_stopped


async def serve(role: Role, settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; what is in hand is finished or handed back."""
    addresses = resolve(settings)

    async def work() -> None:
        async with running(role, settings, addresses) as background:
            await asyncio.shield(background)

    await until_stopped(work())
    return 0
