"""The SQL of a migration, as alembic writes it without a database."""

import io
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations

from eventstore.schema_version import MIGRATIONS


def migration_files() -> list[Path]:
    """Return the migrations, oldest first."""
    return sorted((MIGRATIONS / "versions").glob("[0-9]*.py"))


def sql_of(migration: Path) -> str:
    """Return the statements of one migration, in one transaction as `migrate` runs them."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    spec = spec_from_file_location(migration.stem, migration)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with Operations.context(context):
        module.upgrade()
    return written.getvalue()
