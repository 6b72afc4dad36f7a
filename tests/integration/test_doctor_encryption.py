"""`doctor` judges the encryption of our own connection, also if that leads to a pooler."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.doctor.findings import ok, warning
from cli.doctor.installation import Installation
from cli.doctor.servers import postgresql
from cli.runfile import resolve
from cli.settings import Settings
from cli.status.headings import MANAGED

pytestmark = pytest.mark.asyncio

LOCAL = "the connection is on this machine"
ENCRYPTED = "the connection is encrypted"
PLAIN = "the connection to PostgreSQL is not encrypted"


class Link:
    """A transport to a pooler, whatever the session of PostgreSQL is."""

    def __init__(self, transport: Any, **known: object) -> None:
        self._transport = transport
        self._known = known

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._known.get(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.mark.parametrize(
    ("peer", "tls", "words"),
    [
        (("192.0.2.7", 6432), None, PLAIN),
        (("2001:db8::7", 6432, 0, 0), None, PLAIN),
        (("192.0.2.7", 6432), object(), ENCRYPTED),
        (("127.0.0.1", 6432), None, LOCAL),
        (("::ffff:127.0.0.1", 6432, 0, 0), None, LOCAL),
        (("::1", 6432, 0, 0), None, LOCAL),
        ("/run/pooler/.s.PGSQL.6432", None, LOCAL),
    ],
)
async def test_the_connection_to_a_pooler_is_judged(
    engine: AsyncEngine, database_url: str, peer: object, tls: object, words: str
) -> None:
    def to_a_pooler(connection: Any, _: object) -> None:
        driver = connection.driver_connection
        driver._transport = Link(driver._transport, peername=peer, ssl_object=tls)

    await engine.dispose()
    event.listen(engine.sync_engine, "connect", to_a_pooler)
    settings = Settings(database_url=database_url, kafka_bootstrap_servers="127.0.0.1:1")
    (found,) = await postgresql(Installation(settings, resolve(settings), engine))
    if words is PLAIN:
        remedy = "add sslmode=verify-full and sslrootcert to SPREAVIEW_DATABASE_URL"
        assert found == warning(PLAIN, remedy, see=MANAGED)
    else:
        assert found == ok(found.sentence)
        assert found.sentence.endswith(words)
