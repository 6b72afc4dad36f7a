"""The version of the fold: it changes whenever the state folded from the same events may."""

from contracts.code_version import version_of

FOLD_VERSION = version_of(
    {
        "worker.rules": ("state.py", "state_encoding.py"),
        "contracts": ("codec.py", "events.py", "messages.py"),
    }
)
"""Of the sources that fold, write and read a state."""
