"""The version of the projections' code: it changes whenever what they make of an event may."""

from contracts.code_version import version_of

CODE_VERSION = version_of(
    {
        "projections": ("changes.py", "statements.py", "write.py", "sql/tables.sql"),
        "contracts": ("codec.py", "events.py"),
    }
)
"""12 hexadecimal digits of the SHA-256 over the sources that decide."""
