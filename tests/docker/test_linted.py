"""Dockerfile, scripts, Compose file and manifests pass the field's own checkers, which find planted ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.files import COMPOSE, DOCKERFILE, KUBERNETES, SCRIPTS

MANIFESTS = sorted(path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml")


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the development dependencies; one that is missing is an error."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    return tool("hadolint", "--no-color", "--failure-threshold", "style", path)


def compose_schema(path: Path) -> subprocess.CompletedProcess[str]:
    return tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    ran = hadolint(DOCKERFILE)

    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize(
    "planted",
    ["RUN apt-get install curl", "RUN cd /data && pip install httpx", "CMD fhir-server serve"],
)
def test_hadolint_finds_a_planted_fault(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE.read_text(encoding="utf-8") + planted + "\n", encoding="utf-8")

    assert hadolint(path).returncode == 1


def test_the_scripts_have_no_fault_that_shellcheck_knows(tmp_path: Path) -> None:
    planted = tmp_path / "planted.sh"
    planted.write_text("#!/bin/sh\nrm -r $1/*\n", encoding="utf-8")

    assert tool("shellcheck", *SCRIPTS).stdout == ""
    assert tool("shellcheck", planted).returncode == 1


def test_the_compose_file_is_what_the_specification_allows() -> None:
    ran = compose_schema(COMPOSE)

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("read_only: true", "readonly: true"), ("init: true", "init: [1]"), ("condition:", "conditoin:")],
)
def test_a_compose_file_with_a_planted_fault_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "compose.yaml"
    path.write_text(text.replace(right, wrong), encoding="utf-8")

    assert compose_schema(path).returncode == 1


def test_every_manifest_is_what_kubernetes_takes_and_nothing_more() -> None:
    ran = tool("kubernetes-validate", "--strict", *MANIFESTS)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(MANIFESTS) > 8


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("replicas: 1", "replicas: one"), ("readOnlyRootFilesystem", "readonlyRootFilesystem")],
)
def test_a_manifest_with_a_planted_fault_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    text = (KUBERNETES / "sqlite/server.yaml").read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "server.yaml"
    path.write_text(text.replace(right, wrong), encoding="utf-8")

    assert tool("kubernetes-validate", "--strict", path).returncode != 0
