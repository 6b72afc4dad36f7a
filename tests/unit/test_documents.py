"""The files, commands and settings that the documents name exist."""

import re
from pathlib import Path

import pytest

from tests.support.pages import DOCUMENTS, LINK, named_tests
from tests.support.processes import ROOT

PACKAGES = "audit|cli|contracts|eventstore|messaging|projections|worker|tests|docs|requirements"
PATH = re.compile(rf"`((?:{PACKAGES})/[\w./-]*)`")
FUNCTION = re.compile(r"`(\w+)\.(\w+)`")

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


@each_document
def test_the_files_named_in_a_document_exist(document: Path) -> None:
    named = PATH.findall(document.read_text("utf-8"))
    assert [path for path in named if not exists(path)] == []


@each_document
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text("utf-8")):
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_the_tests_that_hold_the_rules_exist() -> None:
    named = list(named_tests(ROOT / "docs" / "rules.md"))
    assert len(named) > 20
    for path, name in named:
        source = path.read_text("utf-8")
        assert name is None or f"def {name}(" in source, f"{path.name}::{name}"


def test_the_functions_that_implement_the_rules_exist() -> None:
    named = FUNCTION.findall((ROOT / "docs" / "rules.md").read_text("utf-8"))
    functions = [(module, name) for module, name in named if name != "py"]
    assert len(functions) > 10
    for module, name in functions:
        source = (ROOT / "worker" / "rules" / f"{module}.py").read_text("utf-8")
        assert f"def {name}(" in source, f"{module}.{name}"


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def exists(path: str) -> bool:
    """Whether a file, a folder, or a module without its suffix is in the repository."""
    return (ROOT / path).exists() or (ROOT / f"{path}.py").exists()
