"""Arguments that are not text end every command before it runs."""

import subprocess

import pytest

from tests.support.processes import COMMAND, PATIENCE, ROOT, environment

NO_SERVERS = environment(
    database_url="postgresql://127.0.0.1:1/x", kafka_bootstrap_servers="127.0.0.1:1"
)
ID = "0b9d5f0e-1c2d-4e3f-8a4b-5c6d7e8f9a0b"
REQUEST = (
    *("request", "--organization-id", ID, "--event-id", ID, "--api-id", "demo2026"),
    *("--from", "2026-05-28", "--to", "2026-05-29", "--time-zone", "UTC"),
)


def refused(*arguments: str | bytes) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=NO_SERVERS | {"LC_ALL": "C.UTF-8"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ((*REQUEST, "--requested-by", b"\xff"), "the argument after --requested-by"),
        ((*REQUEST, b"--requested-by=\xff"), "the value of --requested-by"),
        ((*REQUEST, "--time-zone", b"\xff"), "the argument after --time-zone"),
        (
            ("erase-speaker", "--organization-id", ID, "--yes", "--requested-by", b"J\xfcrgen"),
            "the argument after --requested-by",
        ),
        (("history", b"\xff"), "argument 2"),
        ((b"\xff",), "argument 1"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_named(
    arguments: tuple[str | bytes, ...], place: str
) -> None:
    said = f"spreaview-sync: {place} is not text in UTF-8. Remedy: give it in UTF-8\n"
    assert refused(*arguments) == said
