"""The rights that `doctor` looks for are those that `deploy/roles.sql` grants."""

from collections.abc import Mapping

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database
from cli.doctor.role_rights import PREFIX, TABLES, lacking_rights, rights_of, this_login
from tests.support.roles import ROLES, logins

pytestmark = pytest.mark.asyncio

# A right on a whole table is a right on each of its columns, and listed once.
GRANTED = text("""
    WITH relations AS (
        SELECT n.nspname, c.oid, c.relname, c.relacl FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v')
    )
    SELECT r.nspname, r.relname, CAST(NULL AS text), g.privilege_type
    FROM relations r, aclexplode(r.relacl) g
    WHERE g.grantee = CAST(:role AS regrole)
    UNION
    SELECT r.nspname, r.relname, a.attname, g.privilege_type
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid, aclexplode(a.attacl) g
    WHERE g.grantee = CAST(:role AS regrole)
""")


@pytest_asyncio.fixture
async def urls(database_url: str) -> Mapping[str, str]:
    return await logins(database_url)


@pytest.mark.parametrize("role", ROLES)
async def test_the_rights_of_a_role_are_those_that_it_is_granted(
    role: str, urls: Mapping[str, str], engine: AsyncEngine
) -> None:
    async with engine.connect() as connection:
        granted = {tuple(row) for row in await connection.execute(GRANTED, {"role": PREFIX + role})}
    assert set(map(tuple, rights_of(role, ["spreaview_g1"]))) == granted
    assert set(TABLES) == set(ROLES)
    async with database(urls[role], pool_size=1) as own, own.connect() as connection:
        login = await this_login(connection)
        assert (login.is_owner, login.roles) == (False, [role])
        assert await lacking_rights(connection, role) == []


async def test_a_right_that_was_revoked_is_named(
    urls: Mapping[str, str], engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        for statement in (
            "REVOKE INSERT ON event_store.inbox FROM spreaview_worker",
            "REVOKE UPDATE (bio) ON spreaview_g1.event_speakers FROM spreaview_worker",
            "REVOKE USAGE ON SCHEMA projections FROM spreaview_worker",
        ):
            await connection.execute(text(statement))
    async with database(urls["worker"], pool_size=1) as own, own.connect() as connection:
        assert await lacking_rights(connection, "worker") == [
            "INSERT ON event_store.inbox",
            "UPDATE (bio) ON spreaview_g1.event_speakers",
            "USAGE ON SCHEMA projections",
        ]
