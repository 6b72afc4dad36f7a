"""The check of the role: which one it seems to be, and which rights it lacks."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from cli.doctor.findings import Check, Result, Server, ok, problem
from cli.doctor.installation import Installation
from cli.doctor.role_rights import PREFIX, TABLES, Login, lacking_rights, this_login
from cli.status.headings import ROLES
from contracts.wording import counted

_SHOWN = 3
_GRANT = 'psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$SPREAVIEW_DATABASE_URL"'


async def rights(installation: Installation) -> Sequence[Result]:
    """The login has all rights of the role that it seems to be."""
    async with installation.engine.connect() as connection:
        login = await this_login(connection)
        if login.is_owner:
            return [ok(f"{login.name} is the owner, which may do everything")]
        if login.roles:
            return await _of_members(connection, login)
        lacking = {role: await lacking_rights(connection, role) for role in TABLES}
    nearest = min(lacking, key=lambda role: len(lacking[role]))
    seems = f"{login.name} is neither the owner nor a member of a role of deploy/roles.sql"
    if not lacking[nearest]:
        return [ok(f"{seems}, and has the rights of {PREFIX}{nearest}")]
    return [
        problem(
            f"{seems}; it is nearest to {PREFIX}{nearest}, and lacks {_shown(lacking[nearest])}",
            f"GRANT {PREFIX}{nearest} TO {login.name}, as the owner",
        )
    ]


async def _of_members(connection: AsyncConnection, login: Login) -> list[Result]:
    results = []
    for role in login.roles:
        if lacking := await lacking_rights(connection, role):
            sentence = f"{login.name} is a {PREFIX}{role}, and lacks {_shown(lacking)}"
            results.append(problem(sentence, f"{_GRANT} as the owner"))
    names = " and ".join(f"{PREFIX}{role}" for role in login.roles)
    return results or [ok(f"{login.name} is a {names}, with all its rights")]


def _shown(lacking: Sequence[str]) -> str:
    more = len(lacking) - _SHOWN
    rest = f" and {counted(more, 'more right')}" if more > 0 else ""
    return f"{', '.join(lacking[:_SHOWN])}{rest}"


CHECKS = (Check("rights", ROLES, rights, (Server.DATABASE,), failures=("a role lacks a right",)),)
