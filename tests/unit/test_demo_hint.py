"""The next steps after a demo lead to where its schedule has come from."""

import pytest

from cli.commands.demo import Schedule, next_steps
from cli.settings import SESSIONIZE_API
from tests.support.line import a_request


@pytest.mark.parametrize(
    ("base_url", "command"),
    [
        (None, "  .venv/bin/spreaview-sync up"),
        (
            SESSIONIZE_API,
            "  SPREAVIEW_SESSIONIZE_BASE_URL=https://sessionize.com/api/v2 "
            ".venv/bin/spreaview-sync up",
        ),
    ],
)
def test_the_hint_names_the_source(base_url: str | None, command: str) -> None:
    steps = next_steps(a_request("jl4ktls0", Schedule().window), base_url)
    assert command in steps.splitlines()
    assert "--api-id jl4ktls0 --from 2026-05-28" in steps
