"""The documents of the project, and what they name."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

TEST = re.compile(r"`((?:tests/[\w/]+/)?test_\w+\.py)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named_tests(document: Path) -> Iterator[tuple[Path, str | None]]:
    """The test modules, or single tests, that a document names."""
    for file, name in TEST.findall(document.read_text("utf-8")):
        yield ROOT / file if "/" in file else ROOT / "tests" / "unit" / file, name or None
