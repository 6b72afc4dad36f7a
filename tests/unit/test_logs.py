"""Log output holds no values: no rows, no local variables, nothing that messages quote."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

import cli.main
from cli.logs import configure_logging

SECRET = "Grace O'Hopper"
STYLES = ("console", "json")


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Logging as it was, once the test and the fixtures named after this one have ended."""
    yield
    configure_logging("INFO", "console")


@pytest.fixture
def output(logging_restored: None, monkeypatch: pytest.MonkeyPatch, style: str) -> io.StringIO:
    """The log output in one of the styles."""
    stream = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        configure_logging("DEBUG", style)
    return stream


def unescaped(output: io.StringIO) -> str:
    """The log output, with the characters that JSON escapes."""
    return output.getvalue().replace("\\u2026", "…")


def from_postgresql() -> DBAPIError:
    """An error of the server with a row in its details, as SQLAlchemy raises it."""
    server = asyncpg.NotNullViolationError("null value in a column")
    server.detail = f"Failing row contains ({SECRET})."
    adapted = Exception(f"{type(server)}: {server}")
    adapted.__cause__ = server
    return DBAPIError("INSERT INTO t VALUES ($1)", [SECRET], adapted)


def raised(error: Exception) -> Exception:
    api_id = SECRET  # noqa: F841 (a local variable for the traceback)
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize("style", STYLES)
def test_a_traceback_has_frames_and_causes_but_no_values(output: io.StringIO) -> None:
    members = [raised(from_postgresql()), raised(KeyError(SECRET))]
    group = ExceptionGroup("group", members)
    fault = RuntimeError("fault")
    fault.__cause__ = raised(group)
    fault.add_note(SECRET)
    logging.getLogger("worker.intake").error("met a fault", exc_info=raised(fault))
    text = unescaped(output)
    assert SECRET not in text
    for part in (
        "in raised",
        "RuntimeError: fault",
        "KeyError: …",
        "null value in a column",
        "member 2 of 2",
    ):
        assert part in text


@pytest.mark.parametrize("style", STYLES)
def test_an_exception_as_an_argument_is_redacted(output: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("failed: %s", KeyError(SECRET))
    assert "failed: KeyError: …" in unescaped(output)
    assert SECRET not in output.getvalue()


@pytest.mark.parametrize("style", STYLES)
def test_an_exception_that_nobody_retrieved_is_redacted(output: io.StringIO) -> None:
    async def fail() -> None:
        raise KeyError(SECRET)

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    asyncio.run(forget())
    assert "Task exception was never retrieved" in output.getvalue()
    assert "in fail" in output.getvalue()
    assert SECRET not in output.getvalue()


@pytest.mark.parametrize("style", ["json"])
def test_every_logger_writes_json(output: io.StringIO) -> None:
    names = ("asyncio", "faststream", "uvicorn.error", "httpx", "worker.relay")
    for name in names:
        logging.getLogger(name).error("failed", exc_info=raised(KeyError(SECRET)))
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["logger"] for line in lines] == list(names)
    assert all(line["exception"].endswith("KeyError: …") for line in lines)


@pytest.mark.parametrize("style", ["json"])
def test_json_lines_have_fields(output: io.StringIO) -> None:
    """Ids are text, and fields that a library adds are left out."""
    run = uuid5(NAMESPACE_URL, "run")
    logging.getLogger("worker.sync").warning(
        "sync %s failed", run, extra={"sync_id": run, "code": "superseded", "color_message": "x"}
    )
    line = json.loads(output.getvalue())
    del line["timestamp"]
    assert line == {
        "event": f"sync {run} failed",
        "level": "warning",
        "logger": "worker.sync",
        "sync_id": str(run),
        "code": "superseded",
    }


@pytest.mark.parametrize("style", ["console"])
def test_lines_for_people_have_no_fields(output: io.StringIO) -> None:
    logging.getLogger("worker.relay").info("leading", extra={"position": 7})
    assert "position" not in output.getvalue()


def test_an_unforeseen_fault_of_a_command_is_logged(
    logging_restored: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(cli.main, "app", fail)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as before the settings are read
    with pytest.raises(SystemExit) as ended:
        cli.main.main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "KeyError: …" in printed
    assert SECRET not in printed
