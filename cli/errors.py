"""Errors that end a command with a sentence."""


class CommandError(Exception):
    """The command cannot do its work; the text names the reason and the remedy."""


class MissingRightError(CommandError):
    """The role of the command lacks a right on the database; the text names it."""
