"""What every command begins and ends with."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer

from cli.logs import configure_logging
from cli.settings import Settings, load_settings


def settings(*, json_logs: bool = False) -> Settings:
    """The settings, and logging set up for a process that serves."""
    loaded = load_settings()
    configure_logging(loaded.log_level, "json" if json_logs else loaded.log_format)
    return loaded


def quiet_settings() -> Settings:
    """The settings, and logging set up for a command that people wait for."""
    loaded = load_settings()
    level = "WARNING" if loaded.log_level == "INFO" else loaded.log_level
    configure_logging(level, loaded.log_format)
    return loaded


def finish(work: Coroutine[Any, Any, int]) -> None:
    """Run a command and end with its exit code, with 130 on Ctrl-C."""
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)
