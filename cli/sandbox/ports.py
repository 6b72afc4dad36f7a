"""Free ports of 127.0.0.1."""

import socket

ATTEMPTS = 5
"""Between finding a port free and using it somebody else may take it: then another is tried."""


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
