"""The tests find Apache Kafka, report that it is missing, and stop it."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.apache_kafka import own_broker
from tests.support.kafka.broker import NoKafkaError
from tests.support.kafka.jars import kafka_jars, kafka_version
from tests.support.kafka.jvm import jvm_broker
from tests.support.processes import ROOT

GONE_SECONDS = 30.0

OWNER = """
import asyncio, pathlib, sys
from tests.support.kafka.jvm import jvm_broker

async def main():
    async with jvm_broker(pathlib.Path(sys.argv[1])) as broker:
        print(broker.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

SLOW_MAVEN = """#!/bin/sh
echo called >> "$0.calls"
for argument; do case "$argument" in -DoutputDirectory=*) folder="${argument#*=}";; esac; done
mkdir -p "$folder" && sleep 0.5 && echo jar > "$folder/kafka.jar"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no Docker engine, and a folder that comes first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def install(programs: Path, name: str, script: str) -> Path:
    program = programs / name
    program.write_text(script)
    program.chmod(0o755)
    return program


def test_concurrent_runs_share_one_download(programs: Path) -> None:
    maven = install(programs, "mvn", SLOW_MAVEN)
    with ThreadPoolExecutor(4) as runs:
        folders = {run.result() for run in [runs.submit(kafka_jars) for _ in range(4)]}
    (jars,) = folders
    assert jars.name == f"kafka-{kafka_version()}"
    assert [file.name for file in jars.iterdir()] == ["kafka.jar"]
    assert Path(f"{maven}.calls").read_text() == "called\n"


def test_a_failed_download_reports_its_cause_and_leaves_no_files(programs: Path) -> None:
    install(programs, "mvn", "#!/bin/sh\necho the network is down; exit 1\n")
    with pytest.raises(NoKafkaError, match="the network is down"):
        kafka_jars()
    cache = programs.parent / "cache" / "spreaview-sync"
    assert [file.name for file in cache.iterdir()] == ["kafka.lock"]


@pytest.mark.asyncio
async def test_an_old_java_is_reported(programs: Path, tmp_path: Path) -> None:
    install(programs, "java", "#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019' >&2\n")
    with pytest.raises(NoKafkaError, match="is Java 11, Kafka needs 17"):
        async with jvm_broker(tmp_path):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
async def test_without_a_broker_a_test_skips_or_fails_if_required(
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    required: str,
    outcome: type[BaseException],
) -> None:
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("SPREAVIEW_TEST_REQUIRE_KAFKA", required)
    with pytest.raises(outcome, match="no Docker engine answers; Java is not on PATH"):
        async with own_broker(tmp_path):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_broker_does_not_outlive_a_killed_test_run(tmp_path: Path) -> None:
    try:
        kafka_jars()
    except NoKafkaError as error:
        pytest.skip(f"no Apache Kafka as a Java process: {error}")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        line = owner.stdout.readline()
        owner.send_signal(signal.SIGKILL)
    assert line, "the broker did not start"
    deadline = time.monotonic() + GONE_SECONDS
    while runs(int(line)):
        assert time.monotonic() < deadline, "it outlived its owner"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
