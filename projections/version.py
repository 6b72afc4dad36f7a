"""The version of the projections, recorded with each generation: equal versions write equal rows.

A renamed public name changes the computed version although the projections do the same. In that
case replace the computed version below, so that generations count as made by this code. Remove the
entry when the rows that are made of an event do change: a rebuild then fills a new generation.
"""

from contracts.code_version import version_of

MODULES = ("projections.changes", "projections.write", "contracts.codec")
"""The modules that decide; what they import is hashed, too."""

CODE_VERSION = version_of(
    MODULES,
    scripts=[("projections", "sql/tables.sql")],
)
"""The version of the code that decodes events, and makes and writes the rows of read models."""
