"""The report of a verification for people: findings by kind, then the verdict and what to do."""

from functools import partial

from rich.console import Console
from rich.markup import escape

from audit.verify.report import VerificationReport
from audit.verify.words import HEADINGS, SINGULARS
from contracts.wording import counted

_SHOWN = 20
"""Findings of a kind that are shown one by one; `--json` has more."""


def show_verification(console: Console, report: VerificationReport) -> None:
    """Show the findings, the parts that could not be checked, the verdict, and the next steps."""
    write = partial(console.print, soft_wrap=True)
    for kind, findings in report.groups():
        number = report.found[kind]
        write(f"[red]{HEADINGS[kind]}[/] ({number})")
        for finding in findings[:_SHOWN]:
            write(f"  {escape(str(finding))}")
        if (more := number - min(len(findings), _SHOWN)) > 0:
            write(f"  … and {more} more")
        write()
    for what, number in report.unchecked.items():
        write(f"[yellow]not checked[/] {escape(what)} ({number})")
    checked = (
        counted(number, SINGULARS.get(what, what), what)
        for what, number in report.checked.items()
        if number
    )
    write(f"checked     {', '.join(checked)}")
    write()
    write(f"[{'green' if report.is_clean else 'red'}]{report.verdict}[/]")
    for step in report.next_steps:
        write(f"Next: {escape(step)}")
