"""A real PostgreSQL with TLS. The wheel's has no OpenSSL, so this one is the system's package."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from cli.sandbox.binaries import server_user
from cli.sandbox.postgres import postgres
from tests.support.certificates import Authority, Certificate

REQUIRED = "SPREAVIEW_TEST_REQUIRE_POSTGRESQL"
DEBIAN = Path("/usr/lib/postgresql")

USER, PASSWORD = "importer", "right-p@ssword"
"""Logs in by TLS and this password."""
CERTIFIED = "certified"
"""Logs in by a certificate with this name."""

_HBA = f"""\
hostnossl all postgres 127.0.0.1/32 trust
hostssl all {USER} 127.0.0.1/32 scram-sha-256
hostssl all {CERTIFIED} 127.0.0.1/32 cert
"""
_SETTINGS = {
    "ssl": "on",
    "ssl_cert_file": "server.pem",
    "ssl_key_file": "server.key",
    "ssl_ca_file": "ca.pem",
    "hba_file": "secured_hba.conf",
    "fsync": "off",
}
_ROLES = f"""
    CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}';
    CREATE ROLE {CERTIFIED} LOGIN;
    GRANT CREATE ON DATABASE spreaview TO {USER};
"""


@asynccontextmanager
async def tls_postgres(authority: Authority, certificate: Certificate) -> AsyncIterator[str]:
    """`127.0.0.1:PORT` of a server that lets nobody but its superuser in without TLS.

    Without the package the test is skipped, or fails if the environment requires it.

    Args:
        authority: signs the certificates of its clients.
        certificate: the one that it shows.
    """
    programs = debian_programs()
    with tempfile.TemporaryDirectory(prefix="tls-postgres-") as folder:
        # Its programs before version 16 must be able to reach their data by its path.
        data = Path(folder) / "data"
        data.mkdir()
        for within_reach in (Path(folder), data):
            within_reach.chmod(0o755)
        async with postgres(data, programs=programs) as url:
            connection = await asyncpg.connect(url)
            try:
                await connection.execute(_ROLES)
            finally:
                await connection.close()
        _install(data / "cluster", authority, certificate)
        async with postgres(data, programs=programs, settings=_SETTINGS) as url:
            yield url.rpartition("@")[2].partition("/")[0]


def debian_programs() -> Path:
    """The newest version's. Debian keeps them apart from the programs of users."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    if (elsewhere := shutil.which("initdb")) is not None:
        return Path(elsewhere).resolve().parent
    reason = "no PostgreSQL with TLS: install Debian's package postgresql"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is {reason}", pytrace=False)
    pytest.skip(reason)


def _install(cluster: Path, authority: Authority, certificate: Certificate) -> None:
    """Put the files into the folder of the data: the server's user can reach no other."""
    user = server_user()
    for name, content in {
        "server.pem": certificate.certificate.read_bytes(),
        "server.key": certificate.key.read_bytes(),
        "ca.pem": authority.ca_file.read_bytes(),
        "secured_hba.conf": _HBA.encode(),
    }.items():
        file = cluster / name
        file.touch(mode=0o600)
        file.write_bytes(content)
        if user is not None:
            os.chown(file, user.uid, user.gid)
