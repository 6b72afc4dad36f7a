"""What can go wrong with the sandbox."""


class SandboxError(Exception):
    """A local server cannot be had; the text says why, with the server's last words if any."""


class PortTakenError(SandboxError):
    """The server could not have its port, because another process listens there."""
