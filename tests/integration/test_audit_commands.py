"""The audit commands as real processes, with a database role that can only read."""

import asyncio
import json
from subprocess import CompletedProcess
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.documents import document, talk
from tests.support.past import Past
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

EVENT = str(uuid4())


async def read_only_url(engine: AsyncEngine, url: str) -> str:
    """The address for a new role that can read the log only."""
    role = f"reader_{uuid4().hex}"
    async with engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD 'reads'",
            f"GRANT USAGE ON SCHEMA event_store TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA event_store TO {role}",
        ):
            await connection.execute(text(statement))
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}:reads@{rest.rpartition('@')[2]}"


async def test_every_command_works_with_a_read_only_role(
    engine: AsyncEngine, database_url: str
) -> None:
    past = Past(engine)
    first = str(await past.imports(document(talk("1"), talk("2", room=8))))
    second = str(await past.imports(document(talk("1", title="New"))))
    env = environment(database_url=await read_only_url(engine, database_url))
    event = str(past.event_id)

    async def ran(*arguments: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(run, *arguments, env=env)

    commands = {
        ("history", event): (first, "asked by Ada Example"),
        ("history", event, "--session", "1"): ("title: Talk 1 → New",),
        ("history", event, "--room", "8"): ("gone from Sessionize",),
        ("explain", event, "new"): ("is there", "scheduled"),
        ("explain", event, "--speaker", "ada"): ("referred to by: New (1)",),
        ("diff", event, first, second): ("withdrawn session 2", "title: Talk 1 → New"),
        ("as-of", event, "--sync", first): ("Talk 2", "Room 8"),
        ("reimport", event, "--dry-run"): ("2 runs, 0 of them",),
    }
    for arguments, said in commands.items():
        done = await ran(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        for words in said:
            assert words in done.stdout, arguments
        done = await ran(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, ""), arguments
        json.loads(done.stdout)
    done = await ran("source", "show", second)
    assert json.loads(done.stdout) == document(talk("1", title="New"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("history", "nothing"), "not a UUID"),
        (("history", EVENT, "--session", "1", "--room", "2"), "one session, one room"),
        (("history", EVENT, "--since", "yesterday"), "not a time"),
        (("history", EVENT, "--since", "2026-05-29", "--until", "2026-05-28"), "later than"),
        (("history", EVENT, "--type", "Something"), "SessionImported"),
        (("explain", EVENT), "name a session"),
        (("as-of", EVENT), "--position"),
        (("as-of", EVENT, "--position", "1", "--time", "2026-05-28"), "--position"),
        (("reimport", EVENT), "--dry-run"),
    ],
)
async def test_a_wrong_argument_exits_with_2_and_is_named(
    database_url: str, arguments: tuple[str, ...], said: str
) -> None:
    env = environment(database_url=database_url)
    done = await asyncio.to_thread(run, *arguments, env=env)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


async def test_an_unknown_id_exits_with_1_and_one_sentence(database_url: str) -> None:
    env = environment(database_url=database_url)
    for arguments in (
        ("history", EVENT),
        ("history", EVENT, "--speaker", "ada"),
        ("explain", EVENT, "1"),
        ("diff", EVENT, "@1", "@2"),
        ("as-of", EVENT, "--position", "1"),
        ("source", "show", EVENT),
        ("reimport", EVENT, "--dry-run"),
    ):
        done = await asyncio.to_thread(run, *arguments, env=env)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert done.stderr.startswith("spreaview-sync: ")
        assert len(done.stderr.splitlines()) == 1
