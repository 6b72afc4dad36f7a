"""How every command begins and ends: settings, logging, the exit code."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer

from cli.logs import configure_logging
from cli.settings import Settings, load_settings


def settings(*, json_logs: bool = False, quiet: bool = False) -> Settings:
    """The settings, and logging as they say; quiet: only what is wrong is logged.

    Raises:
        cli.settings.SettingsError: a variable is wrong.
    """
    settings = load_settings()
    level = "WARNING" if quiet and settings.log_level == "INFO" else settings.log_level
    configure_logging(level, "json" if json_logs else settings.log_format)
    return settings


def finish(work: Coroutine[Any, Any, int]) -> None:
    """Run a command to its end; it ends with the code that `work` returns. Raises `typer.Exit`."""
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)
