"""The broker's libraries, fetched once with Maven into the user's cache."""

import fcntl
import logging
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.support.kafka.broker import NoKafkaError

logger = logging.getLogger(__name__)

POM = Path(__file__).with_name("pom.xml")

_FETCH_SECONDS = 600.0
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def kafka_version() -> str:
    """The version of the broker that the tests run, as `pom.xml` names it."""
    found = ElementTree.parse(POM).findtext("{*}properties/{*}kafka.version")
    assert found is not None, f"{POM} names no version"
    return found


def kafka_jars() -> Path:
    """The folder with the broker and all that it needs; complete whenever it exists.

    Of several concurrent test runs, one fetches and the others wait for it. A run that dies
    meanwhile leaves no incomplete folder behind.

    Raises:
        NoKafkaError: there is no Maven, it cannot fetch them, or the cache cannot be written.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spreaview-sync"
    jars = cache / f"kafka-{kafka_version()}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise NoKafkaError("Maven (mvn) is not on PATH")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "kafka.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not jars.is_dir():
                _fetch(maven, jars)
    except OSError as error:
        raise NoKafkaError(f"the cache {cache} cannot be used: {error}") from error
    return jars


def _fetch(maven: str, jars: Path) -> None:
    logger.info("fetching Apache Kafka %s with Maven into %s", kafka_version(), jars)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=jars.parent) as unfinished:
        command = [maven, "--batch-mode", "--quiet", "--file", str(POM)]
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        command += [f"-DoutputDirectory={unfinished}/jars"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_FETCH_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoKafkaError(f"Maven did not end within {_FETCH_SECONDS:g} seconds") from error
        if done.returncode != 0:
            said = _COLOUR.sub("", done.stdout).strip().partition("\n")[0]  # then comes advice
            raise NoKafkaError(f"Maven cannot fetch it: {said}")
        (Path(unfinished) / "jars").rename(jars)
