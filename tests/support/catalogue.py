"""Renew `audit/verify/expected_catalogue.json` from a database that was just migrated.

python -m tests.support.catalogue
"""

import asyncio
import json
import tempfile
from pathlib import Path

from audit.verify.catalogue import EXPECTED, read_catalogue
from audit.verify.statements import PLAIN_OUTPUT
from cli.connections import database
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from projections.prepare import prepare


async def migrated_catalogue(url: str) -> dict[str, str]:
    """Migrate an empty database, and read its catalogue."""
    async with database(url, pool_size=2) as engine:
        await migrate(engine)
        await prepare(engine)
        async with engine.begin() as connection:
            for statement in PLAIN_OUTPUT:
                await connection.execute(statement)
            return await read_catalogue(connection)


async def _of_a_new_server() -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="catalogue-") as folder:
        async with postgres(Path(folder) / "data", settings={"fsync": "off"}) as url:
            return await migrated_catalogue(url)


def renew() -> None:
    """Write the file."""
    found = asyncio.run(_of_a_new_server())
    Path(str(EXPECTED)).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    renew()
