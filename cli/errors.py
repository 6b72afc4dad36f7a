"""Errors that end a command with a sentence."""

import errno

_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors that standard output may have and a socket has not."""


class CommandError(Exception):
    """The command cannot do its work; the text names the reason and the remedy."""


class MissingRightError(CommandError):
    """PostgreSQL or Kafka answers, but our role or user lacks a right; the text names it."""


def of_a_file(error: OSError) -> str | None:
    """A sentence for an error of a named file or of the output; None for any other error."""
    if error.filename is None and error.errno not in _OF_OUTPUT:
        return None
    place = "the output" if error.filename is None else error.filename
    remedy = ". Remedy: free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"{place} cannot be used: {error.strerror}{remedy}"
