"""A port is given to one test only, also beside another test process."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.support import ports


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_BELOW_CLIENT_PORTS", range(20_000, 20_100))
    given = [*ports.free_ports(10), *(ports.free_port() for _ in range(10))]
    assert len(set(given)) == len(given)


def test_no_port_is_given_to_two_processes() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        theirs = other.submit(ports.free_port).result()
        assert not ports._claim(theirs)
        assert not other.submit(ports._claim, ports.free_port()).result()


def test_when_all_ports_are_given_the_next_caller_gets_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = ports.free_port()
    monkeypatch.setattr(ports, "_BELOW_CLIENT_PORTS", range(taken, taken + 1))
    with pytest.raises(OSError, match="no 1 free ports"):
        ports.free_port()
