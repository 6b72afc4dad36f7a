"""`compose.yaml`, the `Dockerfile` and `deploy/kubernetes/` fit the program; none is run here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cli.health.monitor import Monitor
from cli.health.server import health_app
from cli.http_server import _END_SECONDS
from cli.main import SECTIONS
from cli.services import CLOSING_SECONDS
from cli.settings import PREFIX, SECRETS, Settings
from tests.support.document_blocks import blocks
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


SECRET = next(d["stringData"] for _, d in OBJECTS if d["kind"] == "Secret")


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_every_file_that_a_setting_names_and_no_other(name: str) -> None:
    (container,) = PODS[name]["containers"]
    named = {**SHARED, **{entry["name"]: entry["value"] for entry in container.get("env", ())}}
    files = [Path(value) for variable, value in named.items() if variable.endswith("_FILE")]
    assert {str(file.parent) for file in files} == {"/etc/spreaview"}
    (volume,) = PODS[name]["volumes"]
    items = {item["path"]: item["key"] for item in volume["secret"]["items"]}
    assert {file.name for file in files} == items.keys()
    assert set(items.values()) <= SECRET.keys()
    assert items["database-url"] == f"{name}-url"


def test_each_pod_logs_in_as_a_role_of_its_own() -> None:
    users = {name: urlsplit(SECRET[f"{name}-url"]).username for name in PODS}
    assert len(set(users.values())) == len(PODS)
    roles = (ROOT / "deploy" / "roles.sql").read_text("utf-8")
    for role in ROLES:
        assert f"'spreaview_{role}'" in roles
        assert users[role] == f"{role}_1"


def test_the_migration_can_be_repeated() -> None:
    (job,) = (d for _, d in OBJECTS if d["kind"] == "Job")
    name = job["metadata"]["name"]
    (block,) = (b for b in blocks() if b.document == "deploy/kubernetes/README.md")
    statements = block.statements()
    deleted = statements.index(f"kubectl delete job {name} --ignore-not-found")
    applied = statements.index("kubectl apply -f deploy/kubernetes/migrate.yaml")
    waited = statements.index(f"kubectl wait --for=condition=complete --timeout=10m job/{name}")
    assert deleted < applied < waited < len(statements) - 1
    assert [s for s in statements if s.endswith("-f deploy/kubernetes/")] == [], "has the job, too"


def test_the_api_does_not_claim_the_graceful_timeout() -> None:
    """Its server gives responses in flight a second."""
    example = (KUBERNETES / "api.yaml").read_text("utf-8")
    assert "GRACEFUL_TIMEOUT" not in example
    assert f"{_END_SECONDS} s for the responses in flight" in example


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
