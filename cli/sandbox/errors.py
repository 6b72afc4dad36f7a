"""What can go wrong in the sandbox."""


class SandboxError(Exception):
    """A local server does not start or has stopped; the text says why and what to do."""
