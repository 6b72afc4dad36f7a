"""Where the HTTP servers of a process listen, and the errors when they cannot."""

import asyncio
import socket
from pathlib import Path

import pytest

from cli.commands.token import write_token
from projections.http.tokens import Scope
from tests.support.ipv6 import needs_ipv6
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio


async def refused(database_url: str, folder: Path, **settings: str) -> str:
    """The sentence with which `api` ends, and nothing besides."""
    tokens = folder / "tokens.json"
    write_token(tokens, "reader", [Scope.READ], None)
    env = environment(
        database_url=database_url,
        kafka_bootstrap_servers="127.0.0.1:9",
        api_tokens_file=str(tokens),
        log_level="ERROR",
        **settings,
    )
    done = await asyncio.to_thread(run, "api", env=env)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


async def test_a_taken_http_port_is_named(module_database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await refused(module_database_url, tmp_path, http_port=str(port))
    assert f"the HTTP side cannot be served: another process listens on 127.0.0.1:{port}" in said
    assert "Remedy: stop that one, or set SPREAVIEW_HTTP_PORT to a free port" in said


@needs_ipv6
async def test_a_taken_port_of_ipv6_is_named(module_database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        said = await refused(module_database_url, tmp_path, http_host="::1", http_port=str(port))
    assert f"another process listens on [::1]:{port}. Remedy" in said


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ("nowhere.invalid", "the host name nowhere.invalid is not known"),
        ("a..b", "the host name a..b is not known"),
        ("192.0.2.1", "192.0.2.1 is not an address of this machine"),
    ],
)
async def test_a_host_that_is_not_ours_is_named(
    module_database_url: str, tmp_path: Path, host: str, cause: str
) -> None:
    said = await refused(module_database_url, tmp_path, http_host=host)
    assert f"the HTTP side cannot be served: {cause}. Remedy: set SPREAVIEW_HTTP_HOST" in said
