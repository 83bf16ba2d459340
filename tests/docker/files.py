"""What the files in docker/ say, read as Docker, Compose and Kubernetes read them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.sizes import ROOT

DOCKER: Final = ROOT / "docker"
DOCKERFILE: Final = DOCKER / "Dockerfile"
COMPOSE: Final = DOCKER / "compose.yaml"
KUBERNETES: Final = DOCKER / "kubernetes"
SCRIPTS: Final = sorted(DOCKER.rglob("*.sh"))
OVERLAYS: Final = ("sqlite", "mongo")

Tree = dict[str, Any]


def instructions(text: str) -> list[tuple[str, str]]:
    """Return (name, arguments) of each instruction of a Dockerfile, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in filter(str.strip, whole.splitlines()):
        name, _, rest = line.strip().partition(" ")
        found.append((name.upper(), rest.strip()))
    return found


@dataclass(frozen=True)
class Stage:
    """The last stage of a Dockerfile: what a container starts with."""

    environment: dict[str, str]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]
    user: str


def last_stage() -> Stage:
    """Read the stage that is shipped."""
    told = instructions(DOCKERFILE.read_text(encoding="utf-8"))
    begin = max(number for number, (name, _) in enumerate(told) if name == "FROM")
    own = dict(told[begin:])
    return Stage(
        environment=dict(pair.split("=", 1) for pair in shlex.split(own["ENV"])),
        entrypoint=json.loads(own["ENTRYPOINT"]),
        command=json.loads(own["CMD"]),
        healthcheck=json.loads(own["HEALTHCHECK"].partition("CMD")[2]),
        user=own["USER"],
    )


def copied() -> list[str]:
    """Return what the Dockerfile copies out of the project."""
    paths = []
    for name, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
        words = rest.split()
        if name == "COPY" and not any(word.startswith("--from=") for word in words):
            paths += [word for word in words if not word.startswith("--")][:-1]
    return paths


def interpolated(value: Any, given: Mapping[str, str]) -> Any:
    """Put variables into a Compose file's values: ``${NAME:-default}`` and ``${NAME:?what to do}``."""
    if isinstance(value, dict):
        return {key: interpolated(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, given) for item in value]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, kind, rest = match.group(1), match.group(2), match.group(3)
        if name in given:
            return given[name]
        assert kind != ":?", f"{name} is needed: {rest}"
        return rest or ""

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", put, value)


def services(given: Mapping[str, str] | None = None) -> dict[str, Tree]:
    """Return the services of the Compose file."""
    tree = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    base = {"FHIR_BASE_URL": "https://fhir.example.org/fhir"}
    found: dict[str, Tree] = interpolated(tree["services"], {**base, **(given or {})})
    return found


def manifests(folder: Path = KUBERNETES) -> list[tuple[Path, Tree]]:
    """Return (file, object) of each Kubernetes object below ``folder``, kustomizations left out."""
    return [
        (path, tree)
        for path in sorted(folder.rglob("*.yaml"))
        if path.name != "kustomization.yaml"
        for tree in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def applied(overlay: str) -> list[Tree]:
    """Return the objects that `kubectl apply --kustomize` of an overlay applies."""
    return list(_applied(KUBERNETES / overlay))


def _applied(folder: Path) -> Iterator[Tree]:
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    for name in listed:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from _applied(path)
        else:
            yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def pod_of(tree: Tree) -> Tree | None:
    """Return the pod that an object makes; None when it makes none."""
    spec = tree.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    template = spec.get("template")
    return template["spec"] if isinstance(template, dict) else None


def containers(trees: list[Tree]) -> list[tuple[str, Tree, Tree]]:
    """Return (name of the object, its pod, container) of every container."""
    return [
        (tree["metadata"]["name"], pod, container)
        for tree in trees
        if (pod := pod_of(tree)) is not None
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    ]


@dataclass(frozen=True)
class Invocation:
    """A command of the server that a file names, and the settings that it is given."""

    where: str
    arguments: list[str]
    environment: dict[str, str]


def invocations() -> list[Invocation]:
    """Return every `fhir-server …` that is run by the image, by Compose or by Kubernetes."""
    stage = last_stage()
    found = [
        Invocation("HEALTHCHECK", stage.healthcheck, stage.environment),
        Invocation("CMD", [*stage.entrypoint, *stage.command], stage.environment),
    ]
    for name, service in services().items():
        if "fhir-server" in service["image"]:
            words = [*service.get("entrypoint", stage.entrypoint), *service.get("command", stage.command)]
            found.append(Invocation(f"compose {name}", words, service["environment"]))
    for overlay in OVERLAYS:
        trees = applied(overlay)
        maps = {tree["metadata"]["name"]: tree["data"] for tree in trees if tree["kind"] == "ConfigMap"}
        for name, _, container in containers(trees):
            if "fhir-server" in container["image"]:
                environment = {item["name"]: item["value"] for item in container.get("env", [])}
                for source in container.get("envFrom", []):
                    environment |= maps[source["configMapRef"]["name"]]
                words = [
                    *container.get("command", stage.entrypoint),
                    *container.get("args", stage.command),
                ]
                found.append(Invocation(f"kubernetes {overlay} {name}", words, environment))
    return found
