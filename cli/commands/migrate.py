"""`migrate`."""

import json

from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from eventstore.migrate import migrate
from projections.generations import prepare


async def migrate_database(settings: Settings, *, as_json: bool) -> int:
    """Bring the database to this version; harmless when it is."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        await migrate(engine)
        await prepare(engine)
    print(json.dumps({"migrated": True}) if as_json else "The database is up to date.")
    return 0
