"""`compose.yaml`, the `Dockerfile` and `deploy/kubernetes/` fit the program; none is run here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.health.monitor import Monitor
from cli.health.server import health_app
from cli.main import SECTIONS
from cli.services import CLOSING_SECONDS
from cli.settings import PREFIX, SECRETS, Settings
from tests.support.kafka.jars import kafka_version
from tests.support.processes import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
ROLES = ("worker", "projector", "api")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
COMMANDS = {name for part in SECTIONS.values() for name in part}
VARIABLES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {
    f"{PREFIX}{name.upper()}_FILE" for name in SECRETS
}
OURS = {name: s for name, s in COMPOSE["services"].items() if s["image"] == "spreaview-sync"}
PORT = "8081"
LONGEST_STOP = Settings().graceful_timeout + CLOSING_SECONDS


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every object of the examples."""
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            yield path, document


OBJECTS = list(documents())
SHARED = next(d["data"] for _, d in OBJECTS if d["kind"] == "ConfigMap")
PODS = {
    d["metadata"]["name"].removeprefix("spreaview-sync-"): d["spec"]["template"]["spec"]
    for _, d in OBJECTS
    if d["kind"] in ("Deployment", "Job")
}


def test_every_role_has_an_example() -> None:
    assert PODS.keys() == {*ROLES, "migrate"}
    assert {path.name for path, _ in OBJECTS} >= {f"{role}.yaml" for role in ROLES}
    assert "have not been run by us" in (KUBERNETES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_a_command_of_ours_without_rights(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    assert container["args"] == [name]
    assert name in COMMANDS
    assert container["image"].split(":")[0] == "spreaview-sync"
    user = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text("utf-8"))
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    own = {entry["name"] for entry in container.get("env", ())}
    assert {*SHARED, *own} <= VARIABLES


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_probes_and_ends_gracefully(role: str) -> None:
    pod = PODS[role]
    (container,) = pod["containers"]
    served = {route.path for route in health_app(Monitor(period_seconds=1, stuck_seconds=1)).routes}  # type: ignore[attr-defined]
    probed = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
    }
    assert {probe["path"] for probe in probed.values()} <= served
    assert probed["liveness"]["path"] == "/live"
    assert probed["readiness"]["path"] == "/ready"
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports["health"] == SHARED["SPREAVIEW_HEALTH_PORT"] == PORT
    assert SHARED["SPREAVIEW_HTTP_HOST"] == "0.0.0.0"
    delay = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])
    assert pod["terminationGracePeriodSeconds"] > float(delay[-1]) + LONGEST_STOP
    assert (float(delay[-1]) > 0) is (role == "api"), "only it is called from outside"


def test_the_secret_has_every_file_that_a_setting_names() -> None:
    secret = next(d["stringData"] for _, d in OBJECTS if d["kind"] == "Secret")
    (api,) = PODS["api"]["containers"]
    files = [value for name, value in SHARED.items() if name.endswith("_FILE")]
    files += [entry["value"] for entry in api["env"] if entry["name"].endswith("_FILE")]
    assert {Path(file).name for file in files} == set(secret)
    assert {str(Path(file).parent) for file in files} == {"/etc/spreaview"}


def test_compose_has_every_role_with_health_and_restarts() -> None:
    assert set(ROLES) <= OURS.keys()
    for name in ROLES:
        service = OURS[name]
        assert service["command"] == [name]
        assert service["restart"] == "unless-stopped"
        assert f":{PORT}/ready" in service["healthcheck"]["test"][-1]
        assert service["environment"]["SPREAVIEW_HEALTH_PORT"] == PORT
    for service in OURS.values():
        assert service["environment"].keys() <= VARIABLES
        assert service["read_only"] is True
        assert float(service["stop_grace_period"].rstrip("s")) > LONGEST_STOP
    for name in ("postgres", "kafka"):
        assert COMPOSE["services"][name]["restart"] == "unless-stopped"
        assert COMPOSE["services"][name]["healthcheck"]


def test_compose_and_the_tests_have_one_version_of_kafka() -> None:
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


def test_the_image_has_a_user_a_health_check_and_no_pip() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").partition("\n\nENV PATH")[2].splitlines()
    assert "USER spreaview" in lines
    assert not any("pip" in line.split() for line in lines)
    check = next(line for line in lines if line.lstrip().startswith('CMD ["python"'))
    ast.parse(yaml.safe_load(check.strip().removeprefix("CMD "))[2])
