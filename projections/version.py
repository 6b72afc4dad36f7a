"""The version of the projections, recorded with each generation: equal versions write equal rows.

A renamed public name changes the computed version although the projections do the same. In that
case map the computed version to the earlier one with `same_as`, so that generations count as made
by this code. Remove the entry when the rows that are made of an event do change: a rebuild then
fills a new generation.
"""

from contracts.code_version import version_of

MODULES = (
    "projections.changes",
    "projections.write",
    "projections.rebuild.copying",
    "contracts.codec",
)
"""The modules that decide; what they import is hashed, too."""

_SAME_AS = {"f04f9123b30b": "44c510496951"}
"""The computed version of code that makes the same rows as version 0.1.0. It decodes and writes
faster, and copies the rows of a rebuild."""

CODE_VERSION = version_of(MODULES, scripts=[("projections", "sql/tables.sql")], same_as=_SAME_AS)
"""The version of the code that decodes events, and makes and writes the rows of read models."""
