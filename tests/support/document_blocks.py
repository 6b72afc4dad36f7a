"""The code blocks of the documents, taken apart into statements."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.support.pages import DOCUMENTS
from tests.support.processes import ROOT

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)
FILES = (*DOCUMENTS, ROOT / "examples" / "README.md", ROOT / "deploy" / "kubernetes" / "README.md")
"""The documents with code blocks."""


class Block(NamedTuple):
    """A code block of a document."""

    document: str
    """The path of the document in the repository."""
    line: int
    language: str
    """Empty for drawings."""
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def name(self) -> str:
        """A name that stays while the document grows: `docs/subscribe.md python`."""
        return f"{self.document} {self.language}"

    def statements(self) -> list[str]:
        """The statements of a block of shell code, without comments."""
        lines = self.code.replace("\\\n", " ").splitlines()
        words = (re.sub(r"(^|\s)#.*", "", line) for line in lines)
        return [" ".join(line.split()) for line in words if line.strip()]


class Call(NamedTuple):
    """A call of our command in a statement."""

    variables: Mapping[str, str]
    arguments: list[str]


def blocks() -> Iterator[Block]:
    """Yield every code block, in the order in which a reader meets them."""
    for path in FILES:
        text = path.read_text("utf-8")
        for found in _BLOCK.finditer(text):
            indent, language, code = found.groups()
            line = text.count("\n", 0, found.start()) + 1
            name = str(path.relative_to(ROOT))
            yield Block(name, line, language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE))


def assignments(statement: str) -> dict[str, str] | None:
    """Return the variables that an `export` sets; None for any other statement."""
    first, *words = shlex.split(statement)
    return dict(word.split("=", 1) for word in words) if first == "export" else None


def calls(statement: str) -> list[Call] | None:
    """Return the calls of our command; None if the statement calls anything else."""
    found = []
    for part in statement.split(" && "):
        words, variables = shlex.split(part), {}
        while words and (assigned := _ASSIGNMENT.fullmatch(words[0])):
            variables[assigned[1]] = assigned[2]
            del words[0]
        if not words or words[0] not in ("spreaview-sync", ".venv/bin/spreaview-sync"):
            return None
        found.append(Call(variables, words[1:]))
    return found
