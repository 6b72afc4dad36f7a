"""The version of the fold, recorded with each snapshot: equal versions fold to equal states.

A renamed public name changes the computed version although the fold does the same. In that case
map the computed version to the earlier one with `same_as`, so that existing snapshots stay in use.
Remove the entry when the fold or the encoding of a state does change: all states are then folded
again.
"""

from contracts.code_version import version_of

MODULES = ("worker.rules.state", "worker.rules.state_encoding", "contracts.codec")
"""The modules that decide; what they import is hashed, too."""

_SAME_AS = {"bbbe39be4a33": "652b62198a8b"}
"""The computed version of code that decodes faster and folds to the same states as 0.1.0."""

FOLD_VERSION = version_of(MODULES, same_as=_SAME_AS)
"""The version of the code that decodes and folds events, and encodes and decodes states."""
