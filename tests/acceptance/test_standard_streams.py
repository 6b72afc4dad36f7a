"""Standard streams that the caller has closed, or that cannot be written."""

import json
import os
import subprocess

import pytest

from tests.support.processes import COMMAND, PATIENCE, ROOT, environment

NO_SERVERS = environment(
    database_url="postgresql://127.0.0.1:1/x", kafka_bootstrap_servers="127.0.0.1:1"
)
WRONG = environment(http_port="x")
FOREIGN_HOST = NO_SERVERS | {"SPREAVIEW_HTTP_HOST": "192.0.2.1", "SPREAVIEW_HEALTH_PORT": "8081"}
"""Refused once logging is set up."""


def run(
    *arguments: str, redirected: str, env: dict[str, str] = NO_SERVERS
) -> subprocess.CompletedProcess[str]:
    """Run a command with the shell's redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_ends_as_usual_without_a_stream(form: tuple[str, ...], closed: str) -> None:
    done = run("status", *form, redirected=closed)
    assert done.returncode == 1
    assert done.stderr == ""
    if ">&-" not in closed.split():
        assert "does not answer" in done.stdout
        assert not form or not json.loads(done.stdout)["well"]


@pytest.mark.parametrize(("command", "env"), [("status", WRONG), ("worker", FOREIGN_HOST)])
def test_an_error_is_never_printed_on_standard_output(command: str, env: dict[str, str]) -> None:
    done = run(command, redirected="2>&-", env=env)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_the_exit_code_is_the_same_where_the_error_cannot_be_written(redirected: str) -> None:
    assert run("status", redirected=redirected, env=WRONG).returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments", [("version",), ("version", "--json"), ("--version",), ("--help",), ("status",)]
)
def test_an_output_that_cannot_be_written_is_named(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, redirected=">/dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "spreaview-sync: the output cannot be used: No space left on device. "
        "Remedy: free some space\n"
    )
