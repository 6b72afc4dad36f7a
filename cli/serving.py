"""Serving until a signal: what `worker`, `projector` and `up` have in common."""

import asyncio

from cli.command import Work
from cli.runfile import resolve
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import until_stopped


def serve_role(role: Role) -> Work:
    """The work of one role until SIGTERM or SIGINT; work in flight is finished or handed back."""

    async def work(settings: Settings) -> int:
        addresses = resolve(settings)

        async def serve() -> None:
            async with running(role, settings, addresses) as background:
                await asyncio.shield(background)

        await until_stopped(serve())
        return 0

    return work
