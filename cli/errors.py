"""Errors that end a command with a sentence."""


class CommandError(Exception):
    """The command cannot do its work; the text says why, and what to do."""
