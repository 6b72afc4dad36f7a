"""Errors that end a command with a sentence."""


class CommandError(Exception):
    """The command cannot do its work; the text names the reason and the remedy."""
