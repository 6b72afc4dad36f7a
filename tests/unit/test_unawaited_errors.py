"""Errors that nobody awaits: each is reported, but not that of a connection attempt given up."""

import asyncio
import gc
import logging

import pytest
import typer

from cli.command import run
from cli.settings import Settings
from tests.support.commands_inside import inside as inside

pytestmark = pytest.mark.usefixtures("inside")


def leave_behind(error: Exception, *, in_a_task: bool) -> None:
    """Run a command that ends while a future or a task has failed, and nobody knows."""

    async def fail() -> None:
        raise error

    async def work(_: Settings) -> int:
        loop = asyncio.get_running_loop()
        failed = loop.create_task(fail()) if in_a_task else loop.create_future()
        if isinstance(failed, asyncio.Task):
            await asyncio.wait([failed])
        else:
            failed.set_exception(error)
        del failed
        gc.collect()
        return 0

    with pytest.raises(typer.Exit) as ended:
        run(work, as_json=False)
    assert ended.value.exit_code == 0


def test_a_connection_attempt_that_was_given_up_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    leave_behind(ConnectionError("unexpected connection_lost() call"), in_a_task=False)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize(
    ("error", "in_a_task"), [(ConnectionError("lost"), True), (ValueError("lost"), False)]
)
def test_every_other_error_is_reported(
    caplog: pytest.LogCaptureFixture, error: Exception, *, in_a_task: bool
) -> None:
    leave_behind(error, in_a_task=in_a_task)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
