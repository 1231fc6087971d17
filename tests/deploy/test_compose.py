"""The stack of deploy/compose.yaml is valid, pinned, and closed to everybody else."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.project import REPOSITORY

COMPOSE = REPOSITORY / "deploy/compose.yaml"
TEXT = COMPOSE.read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def test_it_is_what_the_compose_specification_allows() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_is_of_one_version() -> None:
    base = re.findall(r"^FROM (\S+)", (REPOSITORY / "deploy/Dockerfile").read_text(), re.MULTILINE)
    images = [service["image"] for service in SERVICES.values()] + base
    assert len(images) == len(SERVICES) + 1
    for image in images:
        assert re.search(r":v?\d+\.\d+", image), image


def test_every_port_is_bound_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_is_written_down_and_none_may_be_missing() -> None:
    secrets = {
        f"{name}.{key}": value
        for name, service in SERVICES.items()
        for key, value in service.get("environment", {}).items()
        if re.search("PASSWORD|SECRET|KEY", key)
    }
    assert {"postgres.POSTGRES_PASSWORD", "store.AWS_SECRET_ACCESS_KEY"} <= secrets.keys()
    for name, value in secrets.items():
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    assert not re.search(r"://[^/\s]*:[^/\s]*@", TEXT)  # an address with a password


@pytest.mark.parametrize("name", ["postgres", "store", "mlflow"])
def test_who_needs_a_server_waits_until_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    waiting = [service["depends_on"] for service in SERVICES.values() if "depends_on" in service]
    conditions = [wanted[name]["condition"] for wanted in waiting if name in wanted]
    assert conditions
    assert set(conditions) == {"service_healthy"}


def test_what_git_and_the_image_leave_out_holds_the_passwords() -> None:
    for file in (".gitignore", "deploy/Dockerfile.dockerignore"):
        lines = (REPOSITORY / file).read_text().splitlines()
        assert {"deploy/.env", "/deploy/.env"} & {*lines}, file
