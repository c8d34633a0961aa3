"""docker-compose.yml, checked without a Docker engine."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
INTERPOLATION = re.compile(r"\$\{(?P<name>\w+)(?P<operator>:?[-?])?(?P<word>[^}]*)\}")
SECRET = re.compile("PASSWORD|TOKEN|SECRET")
JOBS = {"topics", "schemas", "instruments"}
# They read Kafka or write to it and listen to nobody; when they fail they end, and are started again.
WITHOUT_A_PORT = {name for name in SERVICES if name.startswith(("producer-", "sink-"))} | JOBS
# Its image is not known to hold a program to ask with, and nothing waits for it.
UNASKED = {"registry-ui"}


def test_it_is_a_compose_file() -> None:
    """The Compose specification's own schema accepts it."""
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.submodule_search_locations is not None
    vendored = Path(package.submodule_search_locations[0]) / "builtin_schemas/vendor/compose-spec.json"

    jsonschema.validate(DOCUMENT, json.loads(vendored.read_text(encoding="utf-8")))


def test_no_service_has_a_fixed_name_and_the_file_no_version() -> None:
    """Two checkouts must not fight for container names; `version` is obsolete."""
    assert "version" not in DOCUMENT
    assert not [name for name, service in SERVICES.items() if "container_name" in service]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_the_loopback_address_only(name: str) -> None:
    """Nothing of this is meant for a network."""
    for port in SERVICES[name].get("ports", []):
        assert str(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_mounts_exists(name: str) -> None:
    """A mount is a declared volume, or a file of this repository, read-only."""
    for mount in SERVICES[name].get("volumes", []):
        source, _, target = str(mount).partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert target.endswith(":ro")
        else:
            assert source in DOCUMENT["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_asked_for_its_health_and_bounded(name: str) -> None:
    """Whatever serves has a health check, and everything a memory limit."""
    assert ("healthcheck" in SERVICES[name]) == (name not in WITHOUT_A_PORT | UNASKED)
    assert "mem_limit" in SERVICES[name]


def test_dependencies_are_services_with_what_is_waited_for() -> None:
    """Waiting for health needs a health check; waiting for an end, a job."""
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert other in JOBS
                assert SERVICES[other]["restart"] == "no"


def test_there_are_no_default_passwords() -> None:
    """Every secret must come from the environment, and compose refuses to start without it."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                match = INTERPOLATION.fullmatch(str(value))
                assert match is not None, name
                assert match["operator"] == ":?", name


def test_the_example_environment_names_every_variable() -> None:
    """What compose reads from .env is in .env.example: what is required with no value, the rest commented out."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    required = {name for name, operator, _ in INTERPOLATION.findall(COMPOSE) if operator == ":?"}
    optional = {name for name, operator, _ in INTERPOLATION.findall(COMPOSE) if operator == ":-"}

    assert {line.removesuffix("=") for line in lines if line and not line.startswith("#")} == required
    assert optional <= {line[1:].partition("=")[0] for line in lines if re.match(r"#\w+=", line)}


def test_settings_given_to_our_processes_exist() -> None:
    """A misspelt name would be refused by every process, or worse, ignored."""
    from infra.runtime.settings import PREFIX, Settings

    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    known |= {"REDIS_URL", "INFLUXDB_URL", "INFLUXDB_TOKEN", "INFLUXDB_ORG", "INFLUXDB_BUCKET"}

    for service in SERVICES.values():
        if service["image"].startswith("flashmm"):
            assert set(service["environment"]) <= known


def test_our_processes_run_without_privileges() -> None:
    """Not root, nothing to write but scratch space, no capabilities."""
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text(encoding="utf-8")

    assert re.search(r"^USER flashmm$", dockerfile, re.MULTILINE)
    for service in SERVICES.values():
        if service["image"].startswith("flashmm"):
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def test_the_image_is_built_from_files_that_exist() -> None:
    """Each COPY finds its source, and the build context lets it through."""
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    sources = [word for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]]

    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed


def test_grafana_finds_its_datasource() -> None:
    """The dashboard's panels and variables all use the provisioned datasource; panels do not overlap."""
    grafana = ROOT / "infra/grafana"
    provisioned = yaml.safe_load((grafana / "provisioning/datasources/influxdb.yml").read_text(encoding="utf-8"))
    uids = {source["uid"] for source in provisioned["datasources"]}
    for path in (grafana / "dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        parts = dashboard["panels"] + dashboard["templating"]["list"]
        assert {part["datasource"]["uid"] for part in parts} <= uids
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        cells = [
            (x, y)
            for panel in dashboard["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells)
