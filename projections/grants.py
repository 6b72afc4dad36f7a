"""The rights of other roles on a generation: a new generation gets the rights on the live one."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# An owner's own rights are left alone. Grantee 0 is PUBLIC.
REVOKES = text("""
    WITH acl AS (
        SELECT nspacl AS acl, nspowner AS owner FROM pg_namespace
        WHERE oid = to_regnamespace(:target)
        UNION ALL
        SELECT relacl, relowner FROM pg_class
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(:target)
        UNION ALL
        SELECT a.attacl, c.relowner
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace(:target)
    ), grantee AS (
        SELECT DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC'
                             ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS name
        FROM acl, aclexplode(acl.acl) g WHERE g.grantee <> acl.owner
    )
    SELECT format('REVOKE ALL ON %s %I FROM %s', kind, CAST(:target AS text), name)
    FROM grantee, unnest(ARRAY['ALL TABLES IN SCHEMA', 'SCHEMA']) kind
    ORDER BY 1
""")

# A table that the live generation does not have gets the rights that a role has on all of its
# tables, so that a projector can write it.
GRANTS = text("""
    WITH old AS (
        SELECT oid, relname, relacl, relowner FROM pg_class
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(:source)
    ), new AS (
        SELECT relname FROM pg_class
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(:target)
    ), right_on AS (
        SELECT g.privilege_type AS privilege,
               format('SCHEMA %I', CAST(:target AS text)) AS object, g.grantee, g.is_grantable
        FROM pg_namespace n, aclexplode(n.nspacl) g
        WHERE n.oid = to_regnamespace(:source) AND g.grantee <> n.nspowner
        UNION ALL
        SELECT g.privilege_type, format('TABLE %I.%I', CAST(:target AS text), old.relname),
               g.grantee, g.is_grantable
        FROM old JOIN new USING (relname), aclexplode(old.relacl) g
        WHERE g.grantee <> old.relowner
        UNION ALL
        SELECT format('%s (%I)', g.privilege_type, a.attname),
               format('TABLE %I.%I', CAST(:target AS text), old.relname), g.grantee, g.is_grantable
        FROM old JOIN new USING (relname)
        JOIN pg_attribute a ON a.attrelid = old.oid AND NOT a.attisdropped
        JOIN pg_attribute b ON b.attname = a.attname AND NOT b.attisdropped AND b.attrelid =
            CAST(format('%I.%I', CAST(:target AS text), old.relname) AS regclass),
        aclexplode(a.attacl) g
        WHERE g.grantee <> old.relowner
        UNION ALL
        SELECT every.privilege_type, format('TABLE %I.%I', CAST(:target AS text), new.relname),
               every.grantee, every.is_grantable
        FROM new, (
            SELECT g.privilege_type, g.grantee, bool_and(g.is_grantable) AS is_grantable
            FROM old, aclexplode(old.relacl) g WHERE g.grantee <> old.relowner
            GROUP BY g.privilege_type, g.grantee
            HAVING count(DISTINCT old.oid) = (SELECT count(*) FROM old)
        ) every
        WHERE NOT EXISTS (SELECT FROM old WHERE old.relname = new.relname)
    )
    SELECT format('GRANT %s ON %s TO %s%s', privilege, object,
                  CASE WHEN grantee = 0 THEN 'PUBLIC'
                       ELSE quote_ident(pg_get_userbyid(grantee)) END,
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
    FROM right_on ORDER BY 1
""")

WITHOUT_RIGHTS = text("""
    WITH may_use AS (
        SELECT g.live, a.grantee
        FROM projections.generations g
        JOIN pg_namespace n ON n.nspname = g.schema, aclexplode(n.nspacl) a
        WHERE a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner
    )
    SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END AS role
    FROM (SELECT grantee FROM may_use WHERE NOT live
          EXCEPT SELECT grantee FROM may_use WHERE live) lost
    ORDER BY 1
""")


async def copy_grants(connection: AsyncConnection, source: str, target: str) -> None:
    """Give all roles the rights on the schema `target` that they have on `source`, and no others.

    Readers and writers of `target` see the change when the transaction commits.
    """
    for statements in (REVOKES, GRANTS):
        found = await connection.execute(statements, {"source": source, "target": target})
        for statement in found.scalars().all():
            await connection.exec_driver_sql(statement)


async def roles_without_rights(connection: AsyncConnection) -> list[str]:
    """Return the roles that may use another generation but not the live one.

    A rebuild leaves none; one by a version before this did. Such a projector is stuck.
    """
    return list((await connection.execute(WITHOUT_RIGHTS)).scalars())
