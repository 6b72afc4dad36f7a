"""The version of the projections' code: it changes whenever what they make of an event may."""

import hashlib
from importlib.resources import files

_DECISIVE = (
    ("projections", ("changes.py", "statements.py", "write.py", "sql/tables.sql")),
    ("contracts", ("codec.py", "events.py")),
)


def _digest() -> str:
    digest = hashlib.sha256()
    for package, names in _DECISIVE:
        for name in names:
            digest.update(files(package).joinpath(name).read_bytes())
    return digest.hexdigest()[:12]


CODE_VERSION = _digest()
"""12 hexadecimal digits of the SHA-256 over the sources that decide."""
