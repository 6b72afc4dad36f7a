"""The version of the fold, recorded with each snapshot: equal versions fold to equal states.

A renamed public name changes the computed version although the fold does the same. In that case
replace the computed version below, so that existing snapshots stay in use. Remove the entry when
the fold or the encoding of a state does change: all states are then folded again.
"""

from contracts.code_version import version_of

MODULES = ("worker.rules.state", "worker.rules.state_encoding", "contracts.codec")
"""The modules that decide; what they import is hashed, too."""

FOLD_VERSION = version_of(
    MODULES,
    same_as={"17a8da7a78d7": "25c0a8b7c4b7"},
)
"""The version of the code that decodes and folds events, and encodes and decodes states."""
