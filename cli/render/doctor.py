"""The findings of `doctor` for a person to read."""

from functools import partial

from rich.console import Console
from rich.markup import escape

from cli.doctor.examine import Examination
from cli.doctor.findings import Finding, Verdict
from contracts.wording import counted

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "red",
    Verdict.NOT_CHECKED: "yellow",
}
_VERDICT = 13
"""Width of the verdicts."""


def show_examination(console: Console, examination: Examination) -> None:
    """One line per finding, with remedy and heading where all is not well; then the verdict."""
    for finding in examination.findings:
        _show(console, finding)
    console.print()
    console.print(_verdict(examination))


def _show(console: Console, finding: Finding) -> None:
    write = partial(console.print, soft_wrap=True)
    verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]"
    blank = " " * (_VERDICT - len(finding.verdict))
    write(f"{verdict}{blank}{escape(f'{finding.check}: {finding.sentence}')}")
    if finding.remedy is not None:
        first, *more = finding.remedy.splitlines()
        write(f"{'':<{_VERDICT}}remedy: {escape(first)}")
        for line in more:
            write(f"{'':<{_VERDICT}}{escape(line.strip())}")
    if finding.verdict not in (Verdict.OK, Verdict.NOT_CHECKED):
        write(f"{'':<{_VERDICT}}see docs/operations.md, {escape(finding.see)}")


def _verdict(examination: Examination) -> str:
    problems = examination.number(Verdict.PROBLEM)
    warnings = examination.number(Verdict.WARNING)
    unchecked = examination.number(Verdict.NOT_CHECKED)
    more = [f"{counted(warnings, 'warning')}"] if warnings else []
    more += [f"{unchecked:,} not checked"] if unchecked else []
    rest = f" ({', '.join(more)})" if more else ""
    if problems:
        return f"{counted(problems, 'problem')} to act on{rest}."
    if examination.is_well:
        return f"All is well{rest}."
    return f"No problem was found, but not all could be checked{rest}."
