"""Ordinary mishaps end with a sentence that names the cause and the remedy, never a traceback."""

import fcntl
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.owners import Ordinary, ordinary_user
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment, run, up

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")

SERVERS = {"database_url": "postgresql://h/x", "kafka_bootstrap_servers": "h:1"}


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    with ordinary_user() as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


@contextmanager
def a_running_up(folder: Path, written: str | None, mode: int = 0o644) -> Iterator[None]:
    """The lock of a running `up`, and what is in its file of addresses."""
    folder.mkdir(exist_ok=True)
    with (folder / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if written is not None:
            (folder / "run.json").write_text(written)
            (folder / "run.json").chmod(mode)
        yield


def by(user: Ordinary, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command as this user."""
    code = "import sys; from cli.start import main; sys.argv[0] = 'spreaview-sync'; main()"
    site = str(Path(pytest.__file__).parents[1])
    return subprocess.run(
        [user.python, "-c", code, *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": f"{ROOT}:{site}"}
        | {name: value for name, value in env.items() if name.startswith("SPREAVIEW_")},
        cwd="/",
        user=user.uid,
        group=user.gid,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The sentence with which a command ended."""
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.mark.parametrize("content", ["", "[]", "null", '{"database_url": 1}', "not JSON"])
def test_addresses_that_cannot_be_read_are_named(tmp_path: Path, content: str) -> None:
    with a_running_up(tmp_path, content):
        said = refused(run("dlq", "list", env=environment(data_dir=str(tmp_path))), 2)
    assert f"{tmp_path}/run.json does not hold the addresses of the running sandbox" in said
    assert "Remedy: stop spreaview-sync up and start it again" in said


def test_the_file_of_an_up_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    """Even if its process id is now that of another process."""
    (tmp_path / "run.json").write_text(json.dumps({"pid": os.getpid()}))
    (tmp_path / "up.lock").touch()
    said = refused(run("dlq", "list", env=environment(data_dir=str(tmp_path))), 2)
    assert "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS is not set" in said


def test_settings_are_used_whatever_is_in_the_file(tmp_path: Path) -> None:
    with a_running_up(tmp_path, ""):
        env = environment(data_dir=str(tmp_path), kafka_bootstrap_servers="127.0.0.1:1")
        assert "Kafka at 127.0.0.1:1 does not answer" in refused(run("dlq", "list", env=env), 1)


@pytest.mark.parametrize(
    ("arguments", "given", "missing"),
    [
        (("dlq", "list"), "database_url", "kafka_bootstrap_servers"),
        (("projections", "status"), "kafka_bootstrap_servers", "database_url"),
        (("projections", "status"), "read_database_url", "database_url"),
        (
            ("erase-speaker", "--organization-id", str(UUID(int=1)), "--speaker", "ada", "--yes"),
            *("kafka_bootstrap_servers", "database_url"),
        ),
        (("status",), "database_url", "kafka_bootstrap_servers"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_no_address_of_a_running_up_completes_those_of_the_settings(
    tmp_path: Path, arguments: tuple[str, ...], given: str, missing: str
) -> None:
    server = "127.0.0.1:1" if given.startswith("kafka") else "postgresql://u@127.0.0.1:1/x"
    sandbox = {"database_url": "postgresql://u@127.0.0.1:2/x", "kafka": "127.0.0.1:2"}
    written = json.dumps(sandbox | {"sessionize_base_url": "http://127.0.0.1:2/api/v2"})
    with a_running_up(tmp_path, written):
        env = environment(data_dir=str(tmp_path), **{given: server})
        said = refused(run(*arguments, env=env), 2)
    assert f"SPREAVIEW_{missing.upper()} is not set" in said
    assert f"or unset SPREAVIEW_{given.upper()} to use a local sandbox" in said


@ROOT_ONLY
def test_the_file_of_another_user_is_named(ordinary: Ordinary) -> None:
    with a_running_up(ordinary.folder / "data", "{}", mode=0o600):
        env = environment(data_dir=str(ordinary.folder / "data"))
        said = refused(by(ordinary, "dlq", "list", env=env), 2)
    assert "run.json, which has the addresses of the running sandbox, cannot be read" in said
    assert "Remedy: run this as the user that runs spreaview-sync up" in said


@ROOT_ONLY
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_folder_that_cannot_be_written_is_named(ordinary: Ordinary, command: str) -> None:
    folder = ordinary.folder / "foreign"
    folder.mkdir()
    folder.chmod(0o755)
    said = refused(by(ordinary, command, env=environment(data_dir=str(folder))), 2)
    assert f"the data folder cannot be used: {folder}" in said
    assert "Permission denied. Remedy: make it writable for this user, or set" in said
    assert "SPREAVIEW_DATA_DIR" in said


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_folder_that_is_a_file_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    said = refused(run(command, env=environment(data_dir=str(tmp_path / "file"))), 2)
    assert f"the data folder cannot be used: {tmp_path}/file" in said
    assert "SPREAVIEW_DATA_DIR" in said


@ROOT_ONLY
@pytest.mark.parametrize("kibibytes", [4, 20_000])
def test_a_full_disk_at_up_is_named(tmp_path: Path, kibibytes: int) -> None:
    """The folder itself cannot be written, or has too little space for a database."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k,mode=755", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        env = environment(data_dir=str(folder))
        done = subprocess.run(
            [*COMMAND, "up"],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_a_health_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = environment(**SERVERS, health_port=str(port))
        said = refused(run("worker", env=env), 2)
    assert f"another process listens on 127.0.0.1:{port}" in said
    assert "set SPREAVIEW_HEALTH_PORT to a free port" in said


def test_a_health_host_that_is_not_ours_is_named() -> None:
    env = environment(**SERVERS, health_port="8081", http_host="192.0.2.1")
    said = refused(run("worker", env=env), 2)
    assert "the health endpoints cannot be served: 192.0.2.1 is not an address of this" in said
    assert "set SPREAVIEW_HTTP_HOST to one" in said


@pytest.mark.parametrize("command", ["api", "up"])
def test_one_port_for_health_and_http_is_named(tmp_path: Path, command: str) -> None:
    env = environment(data_dir=str(tmp_path), health_port="8081", http_port="8081")
    said = refused(run(command, env=env), 2)
    assert "SPREAVIEW_HTTP_PORT and SPREAVIEW_HEALTH_PORT are both 8081. Remedy: set" in said


def test_a_locale_without_our_characters_is_no_obstacle(tmp_path: Path) -> None:
    env = environment(data_dir=str(tmp_path / "data")) | {"PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run(
        [*COMMAND, "demo", "--json"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert json.loads(done.stdout)["sync_run"]["status"] == "completed"


# Modules that are imported early, late, and with a command.
@pytest.mark.parametrize(
    "module", ["typer.main", "cli.registry", "pydantic.main", "aiokafka.client"]
)
def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback(module: str) -> None:
    code = "import sys; from cli.start import main; sys.argv = ['x', 'relay', 'status']; main()"
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-c", code],
        env=environment(
            database_url="postgresql://127.0.0.1:1/x", kafka_bootstrap_servers="127.0.0.1:1"
        ),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A process that is started in the background inherits that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if line.split("|")[-1].strip() == module:
                break
        else:
            raise AssertionError(f"{module} was not imported")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    assert process.returncode in (-signal.SIGINT, 130)


@pytest.mark.parametrize("name", ["data_dir", "kafka_ca_file", "kafka_sasl_password_file"])
def test_a_tilde_in_a_path_is_the_home_folder(tmp_path: Path, name: str) -> None:
    env = environment(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="u",
    )
    env |= {"HOME": str(tmp_path), "SPREAVIEW_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    env |= {} if name == "kafka_sasl_password_file" else {"SPREAVIEW_KAFKA_SASL_PASSWORD": "p"}
    if name == "data_dir":
        env = environment(data_dir="~/data") | {"HOME": str(tmp_path)}
        with a_running_up(tmp_path / "data", ""):
            said = refused(run("dlq", "list", env=env), 2)
        assert f"{tmp_path}/data/run.json" in said
        return
    env[f"SPREAVIEW_{name.upper()}"] = "~/absent"
    assert f"{tmp_path}/absent cannot be read" in refused(run("dlq", "list", env=env), 2)


def test_the_home_of_nobody_is_named() -> None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    assert "of-nobody" not in names
    said = refused(run("dlq", "list", env=environment(data_dir="~of-nobody/x")), 2)
    assert "SPREAVIEW_DATA_DIR: the home folder of ~of-nobody is not known" in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SPREAVIEW_KAFKA_BOOTSTRAP_SERVER", "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS"),
        ("SPREAVIEW_DATABSE_URL", "SPREAVIEW_DATABASE_URL"),
        ("SPREAVIEW_KAFKA_SASL_PASSWORDFILE", "SPREAVIEW_KAFKA_SASL_PASSWORD_FILE"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(
    tmp_path: Path, name: str, meant: str
) -> None:
    env = environment(data_dir=str(tmp_path), kafka_bootstrap_servers="127.0.0.1:1")
    done = run("dlq", "list", env=env | {name: "s3cret-value"})
    assert f"{name} is not a setting and is ignored; did you mean {meant}?" in done.stderr
    assert "s3cret-value" not in done.stderr
    assert "Kafka at 127.0.0.1:1 does not answer" in refused(done, 1)


def test_a_variable_like_none_is_named_alone(tmp_path: Path) -> None:
    not_ours = {"SPREAVIEW_TEST_X": "1", "SPREAVIEW_HTTP": "http://127.0.0.1:1"}
    env = environment(data_dir=str(tmp_path)) | {"SPREAVIEW_XYZZY": "1"} | not_ours
    said = refused(run("dlq", "list", env=env), 2)
    assert "SPREAVIEW_XYZZY is not a setting and is ignored\n" in said
    assert [name for name in not_ours if name in said] == []


@pytest.mark.parametrize("level", ["debug", "Info", "WARNING"])
def test_the_log_level_may_be_in_any_case(tmp_path: Path, level: str) -> None:
    env = environment(data_dir=str(tmp_path), log_level=level, log_format="JSON")
    assert "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS is not set" in refused(run("dlq", "list", env=env), 2)


def test_two_starts_of_up_at_once_are_one(tmp_path: Path) -> None:
    """The second is refused while the first still starts."""
    with a_running_up(tmp_path, None):
        said = refused(run("up", env=environment(data_dir=str(tmp_path))), 2)
    assert f"a sandbox is running on {tmp_path} already. Remedy: stop it, or set" in said
    with up(environment(data_dir=str(tmp_path / "data"))) as running:
        running.process.kill()
        running.process.wait()
        assert (tmp_path / "data" / "run.json").exists()
        said = refused(run("dlq", "list", env=running.environment), 2)
        assert "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS is not set" in said
