"""Logins that have the rights of `deploy/roles.sql`, and no others."""

from collections.abc import Mapping
from uuid import uuid4

import asyncpg

from tests.support.processes import ROOT

ROLES = ("worker", "projector", "reader", "auditor", "api")


async def grant_roles(owner_url: str) -> None:
    """Run `deploy/roles.sql` as a DBA does."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute((ROOT / "deploy" / "roles.sql").read_text("utf-8"))
    finally:
        await connection.close()


async def logins(owner_url: str) -> Mapping[str, str]:
    """Create a login for each role; return their URLs by role."""
    await grant_roles(owner_url)
    urls = {}
    connection = await asyncpg.connect(owner_url)
    try:
        for role in ROLES:
            name = f"{role}_{uuid4().hex}"
            await connection.execute(f"CREATE ROLE {name} LOGIN IN ROLE spreaview_{role}")
            urls[role] = owner_url.replace("//postgres@", f"//{name}@")
    finally:
        await connection.close()
    return urls
