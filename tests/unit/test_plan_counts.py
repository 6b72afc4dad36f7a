"""`plan` shows the counts of the run that it predicts."""

from io import StringIO

from rich.console import Console

from cli.render.sync import show_plan
from tests.support.documents import category, days, document, talk
from tests.support.given import given
from tests.support.program import numbered
from worker.sync.plan import Plan


def test_a_plan_shows_the_counts_and_the_warnings_of_the_run() -> None:
    two_days = document(*(numbered(n, 28 + n // 20) for n in range(40)))
    history = given(two_days)
    plan = Plan(history.state, list(history.when(two_days, days(28, 28)).events))
    console = Console(file=StringIO(), width=200)

    show_plan(console, plan, "Europe/Vienna")

    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    (heads, sessions) = [
        line.split()
        for line in shown.splitlines()
        if line.strip().startswith(("unchanged", "sessions"))
    ]
    assert dict(zip(heads, sessions[1:], strict=True)) == {
        "unchanged": "20",
        "skipped": "20",
        "left": "20",
    }
    assert "20 imported sessions left the schedule because the dates changed." in shown


def test_a_plan_explains_topics_that_an_earlier_version_left_out() -> None:
    talk_ = talk("1", categoryItems=["11"])
    history = given(document(talk_) | {"categories": None})
    plan = Plan(
        history.state, list(history.when(document(talk_, categories=[category("1")])).events)
    )
    console = Console(file=StringIO(), width=200)

    show_plan(console, plan, "Europe/Vienna")

    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "topics: nothing → Track: Data" in shown
    assert "1 session gets its topics, which were unknown before. This happens once." in shown
