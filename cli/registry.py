"""Commands by name. A command's module is imported when it runs, so that `--help` is quick."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup


class Command(NamedTuple):
    """Where a command stands, and what it does in a line."""

    module: str
    """Below `cli.commands`; its `app` is the command, or the group of commands."""
    summary: str


Sections: TypeAlias = Mapping[str, Mapping[str, Command]]
"""The commands by name, by the title of their section of the help."""


class CommandGroup(TyperGroup):
    """The top level of the command line: sections of commands that are imported on demand."""

    sections: ClassVar[Sections]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._known = {name: it for part in self.sections.values() for name, it in part.items()}
        for name, command in self._known.items():
            self.add_command(TyperCommand(name, help=command.summary))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; None if there is no such command."""
        if (known := self._known.get(cmd_name)) is None:
            return None
        command = typer.main.get_command(import_module(f"cli.commands.{known.module}").app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands section by section."""
        for title, part in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, command.summary) for name, command in part.items()])


def command_line(name: str, sections: Sections) -> typer.Typer:
    """The command line of those commands, with `--version`."""
    app = typer.Typer(
        cls=type("Commands", (CommandGroup,), {"sections": sections}),
        name=name,
        help="Imports a conference schedule from Sessionize into SpreaView as a history of events.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def print_version(wanted: bool) -> None:
        if wanted:
            print(version(name))
            raise typer.Exit

    @app.callback()
    def options(
        show_version: bool = typer.Option(
            False, "--version", callback=print_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        pass

    return app
