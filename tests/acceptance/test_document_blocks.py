"""Every code block of README, docs, examples and deploy is run, or stands here with the reason."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.document_blocks import Block, blocks
from tests.support.documented_sandbox import EVENT, DocumentedSandbox, documented_sandbox
from tests.support.processes import ROOT, environment
from worker.rules import text

_LONG = "takes minutes or hours; tests/unit/test_manual_pages.py checks that the target exists"
_DRILL = "tests/integration/test_restore_drill.py runs the commands of a restore"
_EXAMPLES = "tests/acceptance/test_examples.py runs the examples"
_KAFKA = "a program of Apache Kafka; tests/acceptance/test_doctor.py sets the same by its protocol"
_CLUSTER = "needs a cluster; tests/unit/test_deployment.py checks the files"
_TOPIC = "kafka-configs.sh --bootstrap-server HOST:9092 --alter --entity-type topics --entity-name "

NOT_RUN: Mapping[str, str] = {
    ".venv/bin/spreaview-sync demo --api-id mine2026 --from 2026-05-28 --to 2026-05-29 "
    "--time-zone Europe/Vienna": "asks Sessionize; tests/acceptance/test_commands.py runs `demo`",
    ".venv/bin/python -m pytest -n auto tests/unit": "`make test` runs it",
    ".venv/bin/python -m pytest tests/acceptance/test_upgrade.py": "`make test` runs it",
    "docs/first-hour.md python": "the next test runs the exercise, before and after the change",
    "make demo": "tests/acceptance/test_commands.py runs `demo`",
    "make setup": "made the environment of this test",
    ".venv/bin/spreaview-sync up": "the sandbox of this test is this command",
    "SPREAVIEW_SESSIONIZE_BASE_URL=https://sessionize.com/api/v2 spreaview-sync up": (
        "as the other `up` of that page, with the address of a server that is not ours"
    ),
    "docs/subscribe.md python": "tests/integration/test_visible_when.py runs the function",
    **dict.fromkeys(
        (
            *("make test", "make check", "make chaos", "make outages", "make soak"),
            *("make bench-quick", "make bench", "make bench-long", "make properties"),
            *("make mutation", 'make chaos CHAOS="--seed 7 --faults 100"'),
            'make chaos CHAOS="--help"',
            ".venv/bin/python -m tests.benchmarks.http_side",
            ".venv/bin/python -m tests.acceptance.long_rebuild",
        ),
        _LONG,
    ),
    **dict.fromkeys(
        (
            "createdb spreaview_restored",
            "pg_restore --no-owner --no-privileges --exit-on-error --single-transaction "
            "--dbname=postgresql://HOST/spreaview_restored spreaview.dump",
        ),
        _DRILL,
    ),
    **dict.fromkeys(
        (
            f"{_TOPIC}spreaview.import-events.v1 --add-config message.timestamp.type=LogAppendTime",
            f"{_TOPIC}spreaview.erasure-requests.v1 --add-config retention.ms=-1",
        ),
        _KAFKA,
    ),
    **dict.fromkeys(
        (
            "set -- a1b2c3d4-0000-4000-8000-000000000001 5f0c7c1e-6d0a-4c56-9a3e-0d6f6a1b2c3d "
            "demo2026 2026-05-28 2026-05-29 Europe/Vienna",
            'sh examples/sync_and_wait.sh "$@"',
            'node examples/sync_and_wait.mjs "$@"',
            '.venv/bin/python examples/sync_and_wait.py "$@"',
            "node examples/follow_feed.mjs feed.jsonl",
            ".venv/bin/python examples/history_then_live.py 100",
            "SPREAVIEW_HTTP=http://127.0.0.1:PORT node examples/follow_feed.mjs feed.jsonl",
            "export SPREAVIEW_HTTP=http://127.0.0.1:PORT SPREAVIEW_KAFKA=127.0.0.1:PORT",
        ),
        _EXAMPLES,
    ),
    **dict.fromkeys(
        (
            "kubectl apply -f deploy/kubernetes/settings.yaml",
            "kubectl delete job spreaview-sync-migrate --ignore-not-found",
            "kubectl apply -f deploy/kubernetes/migrate.yaml",
            "kubectl wait --for=condition=complete --timeout=10m job/spreaview-sync-migrate",
            'psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$OWNER_URL"',
            "kubectl apply -f deploy/kubernetes/worker.yaml -f deploy/kubernetes/projector.yaml "
            "-f deploy/kubernetes/api.yaml",
        ),
        _CLUSTER,
    ),
}
"""The statements that no test of this module runs, each with the reason."""

ONLY_IN_SOAK = frozenset(
    {
        "spreaview-sync migrate && spreaview-sync import log.jsonl",
        "spreaview-sync projections rebuild",
        "spreaview-sync projections rollback",
        ".venv/bin/spreaview-sync projections rebuild",
        ".venv/bin/spreaview-sync projections rollback",
        "spreaview-sync projections drop --all-old",
        "spreaview-sync replay --name training --to-topic spreaview.training --pace 60",
        "python3 -m http.server --bind 127.0.0.1 8000 &",
        "SPREAVIEW_SESSIONIZE_BASE_URL=http://127.0.0.1:8000/api/v2 spreaview-sync up",
    }
)
"""The statements that take longest."""
LANGUAGES = {"", "text", "sh", "python", "sql", "json", "yaml"}
"""Drawings and messages have no language, or `text`."""


def test_each_statement_that_is_left_out_is_in_a_document() -> None:
    written = {name for block in blocks() for name in (block.name, *block.statements())}
    assert set(NOT_RUN) | ONLY_IN_SOAK <= written
    assert {block.language for block in blocks()} <= LANGUAGES


def test_each_test_that_runs_something_instead_exists() -> None:
    for reason in NOT_RUN.values():
        assert all((ROOT / path).exists() for path in re.findall(r"tests/\S+\.py", reason)), reason


def test_the_blocks_of_the_documents_run(tmp_path: Path) -> None:
    failed = failures(tmp_path, {*NOT_RUN, *ONLY_IN_SOAK})
    assert not failed, "\n".join(failed)


def test_the_exercise_of_the_first_hour_changes_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    (exercise,) = [block for block in blocks() if block.name == "docs/first-hour.md python"]
    names: dict[str, Any] = {}
    exec(exercise.code, names)
    ((_, the_test),) = [(name, it) for name, it in names.items() if name.startswith("test_")]
    with pytest.raises(AssertionError):
        the_test()
    source = inspect.getsource(text.clean_title)
    (new,) = re.findall(r"`(return re.sub.*?)`", (ROOT / "docs" / "first-hour.md").read_text())
    changed: dict[str, Any] = {}
    exec(re.sub("return .*", new, source), vars(text), changed)
    monkeypatch.setattr(text, "clean_title", changed["clean_title"])
    the_test()


def test_a_block_that_fails_is_reported(tmp_path: Path) -> None:
    """Without a sandbox the command finds no server; a new block is run without being listed."""
    new = Block("docs/new.md", 7, "sh", "spreaview-sync history EVENT   # as documented\n")
    env = environment(data_dir=str(tmp_path))
    (failed,) = DocumentedSandbox(env, "", "", tmp_path).run(new, NOT_RUN)
    assert failed.startswith(f"docs/new.md:7: spreaview-sync history {EVENT}")
    assert "SPREAVIEW_DATABASE_URL is not set" in failed


@pytest.mark.soak
def test_all_blocks_of_the_documents_run(tmp_path: Path) -> None:
    failed = failures(tmp_path, set(NOT_RUN))
    assert not failed, "\n".join(failed)


def failures(folder: Path, left_out: set[str]) -> list[str]:
    """Run the blocks on one sandbox, in the order of the documents."""
    with documented_sandbox(folder) as sandbox:
        return [failed for block in blocks() for failed in sandbox.run(block, left_out)]
