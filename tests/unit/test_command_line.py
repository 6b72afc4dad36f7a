"""The command line as a whole: it starts quickly, and each command is in its group of the help."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.main import SECTIONS, app
from tests.support.processes import ROOT

HEAVY = ("sqlalchemy", "asyncpg", "aiokafka", "faststream", "httpx", "alembic", "pydantic", "rich")
READING = ("dlq", "history", "relay", "replay", "request", "seals", "verify")
"""Commands that read the log or a topic, and consume nothing in a group."""
COMMANDS = {name: command for part in SECTIONS.values() for name, command in part.items()}


def test_the_help_imports_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "sys.argv = ['spreaview-sync', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code\n"
        f"print('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)
    assert ran.stdout.splitlines()[-1].strip() == "heavy:"


def test_a_command_that_only_reads_imports_no_faststream() -> None:
    """FastStream doubles the time in which such a command starts."""
    modules = [f"cli.commands.{COMMANDS[name].module}" for name in READING]
    code = f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
    code += "    assert 'faststream' not in sys.modules, name\n"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_begins_the_help_of_its_command(name: str) -> None:
    command = loaded(name)
    first_paragraph = " ".join(command.help.partition("\n\n")[0].split())
    assert first_paragraph.startswith(COMMANDS[name].summary.removesuffix("."))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_output(name: str) -> None:
    for command in leaves(loaded(name)):
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, command.name


def loaded(name: str) -> Any:
    """The click command of that name, imported as the command line imports it."""
    group: Any = typer.main.get_command(app)
    return group.get_command(None, name)


def leaves(command: Any) -> Iterator[Any]:
    """A command, or the commands of a group."""
    children = getattr(command, "commands", None)
    yield from children.values() if children else [command]
