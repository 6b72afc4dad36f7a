"""TCP ports for the servers of tests, each given to one caller only."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cli.sandbox.ports import LOOPBACK

# Below the range for outgoing connections. Else a client that calls a stopped server again and
# again could be given the server's own port, and keep it.
_BELOW_CLIENT_PORTS = range(20_000, 32_000)
_claims: list[socket.socket] = []


def free_ports(number: int) -> list[int]:
    """Different ports on which nobody listens, and which no other test is given.

    The UDP port of the same number is the claim. The process keeps it to its end, so a port is
    given once, even to test processes that run side by side.

    Raises:
        OSError: there are not so many.
    """
    order = random.sample(_BELOW_CLIENT_PORTS, k=len(_BELOW_CLIENT_PORTS))
    found: list[int] = []
    while len(found) < number:
        if not order:
            raise OSError(f"no {number} free ports on {LOOPBACK}")
        port = order.pop()
        if _claim(port):
            found.append(port)
    return found


def free_port() -> int:
    """One port, as `free_ports` finds it."""
    return free_ports(1)[0]


@contextmanager
def full_queue() -> Iterator[int]:
    """Yield a port that answers no attempt to connect: its queue is full."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        port: int = server.getsockname()[1]
        while True:
            waiting = opened.enter_context(socket.socket())
            waiting.settimeout(0.2)
            try:
                waiting.connect((LOOPBACK, port))
            except TimeoutError:
                break
        yield port


def _claim(port: int) -> bool:
    with ExitStack() as stack:
        claim = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        probe = stack.enter_context(socket.socket())
        try:
            claim.bind((LOOPBACK, port))
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        stack.pop_all()
        probe.close()
        _claims.append(claim)
        return True
