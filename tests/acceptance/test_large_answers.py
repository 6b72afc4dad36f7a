"""Large answers cost little memory and time; a process of its own measures each."""

import asyncio
import gzip
import json
import logging
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.first_import import API_ID, SPACES
from tests.support.sessionize.answers import Answer
from tests.support.sessionize.double import Double

logger = logging.getLogger(__name__)

MAX_MORE_MIB = 300
MAX_SECONDS = 30.0
MIB = 1024 * 1024


def bomb(mebibytes: int) -> Answer:
    """Spaces, compressed to a thousandth, and cut: no reader should reach the end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return Answer(first + again * (mebibytes - 1), headers={"Content-Encoding": "gzip"})


def bomb_in_a_bomb() -> Answer:
    return Answer(gzip.compress(bomb(512).body), headers={"Content-Encoding": "gzip, gzip"})


def a_million_objects() -> bytes:
    return b"[" + b",".join([b"{}"] * 1_000_000) + b"]"


def a_million_sessions() -> Answer:
    return Answer(b'{"sessions":' + a_million_objects() + b',"speakers":[],"rooms":[]}')


EITHER = {"unexpected_document", "response_too_large"}
LARGE: dict[str, tuple[Callable[[], Answer], set[str]]] = {
    "500 MB of spaces": (lambda: SPACES, {"response_too_large"}),
    "gzip bomb": (lambda: bomb(1024), {"response_too_large"}),
    "a million objects in an array": (
        lambda: Answer(a_million_objects()),
        {"unexpected_document"},
    ),
    "a million sessions": (a_million_sessions, EITHER),
    "gzip bomb in a gzip bomb": (bomb_in_a_bomb, EITHER),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("make", "codes"), LARGE.values(), ids=LARGE)
async def test_a_large_answer_costs_little(
    double: Double, make: Callable[[], Answer], codes: set[str]
) -> None:
    double.documents.put(API_ID, make())

    measured = await import_measured(double.base_url)

    logger.info("measured: %s", measured)
    assert measured["code"] in codes
    assert measured["seconds"] < MAX_SECONDS
    assert measured["more_mib"] < MAX_MORE_MIB


async def import_measured(base_url: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.measured_import", base_url),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * MAX_SECONDS):
            output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0
    measured: dict[str, Any] = json.loads(output)
    return measured
