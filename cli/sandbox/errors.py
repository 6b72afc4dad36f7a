"""Errors of the sandbox."""


class SandboxError(Exception):
    """A local server cannot run; the text holds the reason and the end of the server's log."""


class PortTakenError(SandboxError):
    """The server did not start because another process listens on its port."""
