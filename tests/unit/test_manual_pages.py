"""The pages on settings and commands are current, and every command in a document exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import SECTIONS
from tests.support.manual_pages import (
    COMMANDS,
    CONFIGURATION,
    commands,
    configuration,
    leaves,
)
from tests.support.pages import DOCUMENTS
from tests.support.processes import ROOT
from worker.relay.open_runs import _REQUEST_IS_GONE

_CALL = re.compile(r"(?<![\w/-])(?:\.venv/bin/)?spreaview-sync +([a-z][^`\n#|)]*)")
_MAKE = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)
_PROSE = {"is", "that"}
"""Words that follow the name of the product in a sentence."""
_GLOBAL = {"--help", "-h", "--version"}
KNOWN = {
    words: {option for parameter in command.params for option in parameter.opts}
    for part in SECTIONS.values()
    for name in part
    for words, command in leaves(name)
}
FILES = [
    *DOCUMENTS,
    *sorted((ROOT / "examples").glob("*.md")),
    *sorted(ROOT.glob("deploy/**/*.md")),
]


def calls(document: Path) -> Iterator[str]:
    """Yield the arguments of each call of our command, continuation lines included."""
    text = document.read_text("utf-8").replace("\\\n", " ")
    for found in _CALL.finditer(text):
        words = found[1].split()
        if words[0] not in _PROSE:
            yield " ".join(words)


def mistakes(call: str) -> list[str]:
    """Return what is wrong with a call: an unknown command, or an option that it lacks."""
    words = call.partition(";")[0].replace(",", " ").rstrip(".:").split()
    known = next((k for k in (" ".join(words[:2]), words[0]) if k in KNOWN), None)
    if known is None:
        is_group = any(name.startswith(f"{words[0]} ") for name in KNOWN)
        return [] if is_group and len(words) == 1 else [f"unknown command: {call}"]
    options = [
        word.partition("=")[0].strip("[]'\":;") for word in words if word.startswith(("-", "[-"))
    ]
    return [
        f"{known} has no {option}"
        for option in options
        if option.startswith("--") and option not in KNOWN[known] | _GLOBAL
    ]


def test_the_pages_are_fresh() -> None:
    assert CONFIGURATION.read_text("utf-8") == configuration(), "stale: run make contracts"
    assert COMMANDS.read_text("utf-8") == commands(), "stale: run make contracts"


@pytest.mark.parametrize("document", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_command_in_a_document_exists_with_its_options(document: Path) -> None:
    assert [wrong for call in calls(document) for wrong in mistakes(call)] == []


@pytest.mark.parametrize("document", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_target_of_make_in_a_document_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(_MAKE.findall(document.read_text("utf-8"))) <= targets


def test_no_command_offers_to_install_completion() -> None:
    offered = {name: [o for o in options if "completion" in o] for name, options in KNOWN.items()}
    assert {name: found for name, found in offered.items() if found} == {}


def test_the_entry_of_internal_errors_explains_runs_that_lost_their_request() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    entry = page.partition("### Syncs end as internal_error\n")[2].partition("\n### ")[0]
    assert _REQUEST_IS_GONE in " ".join(entry.split())
    assert "(#a-run-stays-open)" in entry


def test_a_wrong_call_is_found() -> None:
    assert mistakes("relay rewind --restored") == []
    assert mistakes("relay rewind --restore") == ["relay rewind has no --restore"]
    assert mistakes("relays status") == ["unknown command: relays status"]
