"""`migrate`: the log's tables and the read models."""

from cli.command import new_app, run
from cli.options import Json
from cli.render.answer import Answer, sentence
from cli.servers import open_database
from cli.settings import Settings
from eventstore.migrate import migrate as migrate_log
from projections.generations import prepare

app = new_app()


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database to this version.

    Run it once, and after every update. It changes nothing if the database is up to date.
    """
    run(migrate_database, as_json=as_json)


async def migrate_database(settings: Settings) -> Answer:
    """Make or update the log's tables, then the read models."""
    async with open_database(settings, pool_size=2) as engine:
        await migrate_log(engine)
        await prepare(engine)
    return sentence({"migrated": True}, "The database is up to date.")
