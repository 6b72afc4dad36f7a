"""Shared by all commands: settings, logging, the event loop, and the one boundary for errors."""

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

import typer

from audit.past.moments import NotInThePastError
from cli.collector import collect_rarely
from cli.errors import CommandError, of_a_file
from cli.logs import configure_logging
from cli.render.answer import Answer
from cli.sandbox.errors import SandboxError
from cli.settings import Settings, SettingsError, load_settings
from cli.unknown_settings import unknown_settings
from eventstore.damage import DamagedLogError
from eventstore.schema_version import SchemaVersionError

logger = logging.getLogger(__name__)

REFUSED = 1
"""Exit code: the answer is no, or the command could not do its work."""
USAGE = 2
"""Exit code: wrong usage or settings."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

Work: TypeAlias = Callable[[Settings], Coroutine[Any, Any, Answer | int]]
"""The work of a command: it returns what to show, or only an exit code if it has shown it all."""


def new_app(help_text: str | None = None) -> typer.Typer:
    """An app for one command, or for a group of commands if a help text is given."""
    app = typer.Typer(
        help=help_text,
        no_args_is_help=help_text is not None,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if help_text is not None:
        app.callback()(_group)  # a group stays a group even if it has one command
    return app


def _group() -> None:
    pass


def run(work: Work, *, as_json: bool, leaves_at_once: bool = False) -> NoReturn:
    """Run a command that a person or a script waits for, show its answer, and exit.

    Exit code: the answer's; 1 if the work could not be done, 2 for wrong settings, each with
    a sentence on standard error; 130 after Ctrl-C. Logs below WARNING are left out.

    With `leaves_at_once`, the process ends as soon as the answer is shown. Otherwise the end waits
    for threads, and a thread that asks a silent name server cannot be stopped.
    """

    def begin() -> Settings:
        settings = load_settings()
        level = "WARNING" if settings.log_level == "INFO" else settings.log_level
        configure_logging(level, settings.log_format)
        for sentence in unknown_settings():
            print(f"spreaview-sync: {sentence}", file=sys.stderr)
        return settings

    _run(work, begin, as_json=as_json, leaves_at_once=leaves_at_once)


def serve(work: Work, *, as_json: bool) -> NoReturn:
    """Run a service until it is stopped; errors end it as in `run`. `as_json` is for its logs."""

    def begin() -> Settings:
        settings = load_settings()
        configure_logging(settings.log_level, "json" if as_json else settings.log_format)
        for sentence in unknown_settings():
            logger.warning(sentence)
        return settings

    _run(work, begin, as_json=as_json)


def _run(
    work: Work,
    begin: Callable[[], Settings],
    *,
    as_json: bool,
    leaves_at_once: bool = False,
) -> NoReturn:
    _prepare_streams()
    collect_rarely()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `cli.start`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ending = _leave if leaves_at_once else finish
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(_report)
            code = runner.run(ending(work, begin(), as_json=as_json))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SettingsError as error:
        code = _fail(error, USAGE)
    raise typer.Exit(code)


async def finish(work: Work, settings: Settings, *, as_json: bool) -> int:
    """Do the work and show its answer; returns the exit code.

    Every foreseen error becomes a sentence on standard error here, and nowhere else. Others pass.
    """
    try:
        answer = await work(settings)
        return answer if isinstance(answer, int) else answer.print(as_json=as_json)
    except (SettingsError, SandboxError) as error:
        return _fail(error, USAGE)
    except (CommandError, NotInThePastError, SchemaVersionError, DamagedLogError) as error:
        return _fail(error, REFUSED)
    except OSError as error:
        if (sentence := of_a_file(error)) is None:
            raise
        return _fail(sentence, REFUSED)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nobody awaits, unless it ends a connection attempt that was given up.

    asyncpg leaves the future of such an attempt behind, and the end of the connection fails it.
    """
    future, error = context.get("future"), context.get("exception")
    if isinstance(error, ConnectionError) and not isinstance(future, asyncio.Task | None):
        logger.debug("a connection attempt was given up: %s", error)
        return
    loop.default_exception_handler(context)


async def _leave(work: Work, settings: Settings, *, as_json: bool) -> NoReturn:
    """Finish, and end the process without its usual end."""
    code = await finish(work, settings, as_json=as_json)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _prepare_streams() -> None:
    """Let every text be printed: in a locale without a character, it is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(error: object, code: int) -> int:
    with suppress(OSError):  # the exit code counts also where the sentence cannot be written
        print(f"spreaview-sync: {error}", file=sys.stderr)
    return code
