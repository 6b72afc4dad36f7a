"""`worker` and `projector`: one role, until a signal."""

from cli.runfile import resolve
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import stop_signal, until_stopped


async def serve(role: Role, settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; what is in hand is finished or handed back."""
    async with stop_signal() as stop, running(role, settings, resolve(settings)) as background:
        await until_stopped(stop, background)
    return 0
