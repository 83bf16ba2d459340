"""What the container files name exists, what must be closed is closed, what is secret is a file."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
import yaml

from fhir_server.cli import app
from fhir_server.config import Settings
from tests.architecture.sizes import ROOT
from tests.docker.files import (
    COMPOSE,
    DOCKER,
    DOCKERFILE,
    KUBERNETES,
    OVERLAYS,
    Invocation,
    Tree,
    applied,
    containers,
    copied,
    instructions,
    invocations,
    last_stage,
    manifests,
    services,
)

SERVICES = services()
IMAGE = f"fhir-server:{version('fhir-server')}"
PINNED = re.compile(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*")
VARIABLES = {f"FHIR_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("run", invocations(), ids=lambda run: run.where)
def test_every_command_that_is_run_exists_with_its_options(run: Invocation) -> None:
    begin = run.arguments.index("fhir-server")
    command: Any = typer.main.get_command(app)
    context: Any = None
    words = run.arguments[begin + 1 :]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, list(words))

    assert context.params
    assert not context.args


@pytest.mark.parametrize("run", invocations(), ids=lambda run: run.where)
def test_every_variable_that_is_set_is_a_setting_and_can_be_read(run: Invocation) -> None:
    given = {name: value for name, value in run.environment.items() if name.startswith("FHIR_")}
    fields = {name.removeprefix("FHIR_").lower(): value for name, value in given.items()}

    assert given.keys() <= VARIABLES
    read = Settings.model_validate({name: fields[name] for name in fields if name != "store_file"})
    assert read.data.name == "fhir" or "data" not in fields


def test_an_unknown_command_option_or_variable_would_be_found() -> None:
    command: Any = typer.main.get_command(app)

    with pytest.raises(Exception, match="No such option"):
        command.commands["backup"].make_context("backup", ["x", "--never"])
    assert "FHIR_NEVER" not in VARIABLES


def test_the_image_is_the_version_of_the_project_everywhere() -> None:
    images = {service["image"] for service in SERVICES.values()} | {
        container["image"] for overlay in OVERLAYS for _, _, container in containers(applied(overlay))
    }
    dockerfile = DOCKERFILE.read_text(encoding="utf-8")

    assert {image for image in images if image.startswith("fhir-server")} == {IMAGE}
    assert f'org.opencontainers.image.version="{version("fhir-server")}"' in dockerfile
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    assert len({image.partition(":")[2] for image in images if image.startswith("mongo")}) == 1


def test_the_base_image_is_pinned_and_no_stage_runs_what_is_shipped_as_root() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG PYTHON=(.*)$", text, re.MULTILINE)

    assert PINNED.fullmatch(f"python:{base}")
    assert {rest for name, rest in instructions(text) if name == "FROM"} == {
        "python:${PYTHON} AS build",
        "python:${PYTHON}",
    }
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", last_stage().user)


def test_every_dependency_in_the_image_is_locked_by_digest() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    locked = (DOCKER / "build.lock").read_text(encoding="utf-8")
    dev = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"^(?=\S)", locked, flags=re.MULTILINE) if block.strip()]

    assert "PIP_REQUIRE_HASHES=1" in text
    assert text.count("PIP_REQUIRE_HASHES=0") == text.count("--no-deps") == 2
    assert [block[:40] for block in blocks if "--hash=sha256:" not in block] == []
    assert set(re.findall(r"^(\S+==\S+)", locked, re.MULTILINE)) <= set(
        re.findall(r"^(\S+==\S+)", dev, re.MULTILINE)
    )


def test_what_is_sent_to_the_builder_is_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}

    assert rules[0] == "*"
    assert allowed == set(copied())
    assert [path for path in allowed if not (ROOT / path).exists()] == []
    for kept_out in ("data/keys/ring.json", "docker/secrets/tls_key", ".git/config", ".venv/x", "tests/x.py"):
        assert not any(kept_out == path or kept_out.startswith(f"{path}/") for path in allowed)
    assert any(fnmatch("fhir_server/__pycache__", rule.replace("**/", "*/")) for rule in rules)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_as_little_power_and_as_few_means_as_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"NET_BIND_SERVICE"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit", "logging", "restart"} <= service.keys()
    assert "fhir-server" in service["image"] or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["profiles"] in (["sqlite"], ["mongo"])
    assert not service.get("privileged", False)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_waits_for_what_it_needs_and_for_nothing_that_is_not_started(name: str) -> None:
    service = SERVICES[name]

    for other, how in service.get("depends_on", {}).items():
        needed = SERVICES[other]
        assert needed["profiles"] == service["profiles"]
        is_job = needed["restart"] == "no"
        assert how["condition"] == ("service_completed_successfully" if is_job else "service_healthy")
        assert is_job or "healthcheck" in needed or "fhir-server" in needed["image"]


def test_only_the_proxies_can_be_reached_from_outside() -> None:
    published = {name for name, service in SERVICES.items() if service.get("ports")}
    networks = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["networks"]

    assert published == {"proxy", "proxy-mongo"}
    assert {name for name, network in networks.items() if not network.get("internal")} == {"outside"}
    assert {
        name for name, service in SERVICES.items() if "outside" in service.get("networks", [])
    } == published
    for name, service in SERVICES.items():
        if "database" in service.get("networks", []):
            assert "outside" not in service["networks"], name


def test_what_is_secret_is_a_file_that_no_environment_and_no_command_names_by_value() -> None:
    tree: Tree = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for service in SERVICES.values()
        for secret in service.get("secrets", [])
    }
    said = str(
        [[each.get(key) for key in ("environment", "command", "entrypoint")] for each in SERVICES.values()]
    )

    assert used == tree["secrets"].keys()
    assert all(secret["file"].startswith("./secrets/") for secret in tree["secrets"].values())
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8")
    assert not re.search(r"mongodb://\S*@|password(?!_)", said, re.IGNORECASE)


def test_the_secrets_that_are_not_the_operators_own_are_made_by_the_script() -> None:
    tree: Tree = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    script = (DOCKER / "secrets.sh").read_text(encoding="utf-8")
    own = {"tls_certificate", "tls_key"}
    by_command = {"key_ring", "audit_key_ring", "audit_signing_key"}

    assert [name for name in tree["secrets"].keys() - own - by_command if name not in script] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_of_kubernetes_has_as_little_power_as_it_needs(overlay: str) -> None:
    found = containers(applied(overlay))

    assert found
    for name, pod, container in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_server_is_asked_by_the_probes_that_it_has(overlay: str) -> None:
    from fhir_server.rest.probes import PATHS  # noqa: PLC0415 - only here

    (server,) = [each for name, _, each in containers(applied(overlay)) if each["name"] == "server"]
    probes = {
        kind: server[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
    }

    assert set(probes.values()) <= PATHS
    assert probes["liveness"] == "/health/live", (
        "a store that does not answer is no reason to kill the server"
    )
    assert probes["readiness"] == "/health/ready"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_name_that_an_object_refers_to_is_there_or_is_made_by_hand(overlay: str) -> None:
    trees = applied(overlay)
    names = {(tree["kind"], tree["metadata"]["name"]) for tree in trees}
    page = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
    secrets = set(re.findall(r"secretName['\"]?: ['\"]?([\w-]+)", str(trees)))
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod, _ in containers(trees)
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    templates = {
        f"{template['metadata']['name']}-{tree['metadata']['name']}-0"
        for tree in trees
        for template in tree.get("spec", {}).get("volumeClaimTemplates", [])
        if tree["kind"] == "StatefulSet"
    }

    assert not [name for name in secrets if name not in page]
    assert "Secret" not in {kind for kind, _ in names}
    assert claims <= templates | {name for kind, name in names if kind == "PersistentVolumeClaim"}
    for _, pod, _ in containers(trees):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names


def test_the_network_is_closed_and_opened_by_rules() -> None:
    for overlay in OVERLAYS:
        policies = [tree["spec"] for tree in applied(overlay) if tree["kind"] == "NetworkPolicy"]
        closed = [each for each in policies if not each.get("ingress") and not each.get("egress")]
        ports = {rule["port"] for each in policies for way in each.get("egress", []) for rule in way["ports"]}

        assert [set(each["policyTypes"]) for each in closed] == [{"Ingress", "Egress"}]
        assert ports == (set() if overlay == "sqlite" else {27017, 53})


def test_a_file_is_never_served_by_two_and_mongodb_never_by_one() -> None:
    (single,) = [tree for tree in applied("sqlite") if tree["kind"] == "StatefulSet"]
    (several,) = [tree for tree in applied("mongo") if tree["kind"] == "Deployment"]

    assert single["spec"]["replicas"] == 1
    assert several["spec"]["replicas"] >= 2
    assert [
        tree["spec"]["minAvailable"] for tree in applied("mongo") if tree["kind"] == "PodDisruptionBudget"
    ]


def test_every_manifest_is_applied_by_an_overlay() -> None:
    listed = [tree for overlay in OVERLAYS for tree in applied(overlay)]

    assert [path.name for path, tree in manifests() if tree not in listed] == []


def test_the_backup_script_of_kubernetes_is_that_of_compose() -> None:
    (script,) = [
        tree["data"]["backup.sh"]
        for tree in applied("mongo")
        if tree["kind"] == "ConfigMap" and "backup.sh" in tree["data"]
    ]

    assert script == (DOCKER / "mongo/backup.sh").read_text(encoding="utf-8")


def named_on_the_page() -> list[list[str]]:
    """Return the server's commands in the code of docs/docker.md, as words."""
    page = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).replace("\\\n", " ")
    found = re.findall(
        r"(?:fhir-server:[\d.]+|exec server\S* fhir-server|^drill) +([a-z][^\n#|&;]*)", code, re.MULTILINE
    )
    return [words.split() for words in found]


@pytest.mark.parametrize("words", named_on_the_page(), ids=" ".join)
def test_every_command_of_the_page_exists_with_its_options(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}

    assert [word for word in rest if word.startswith("--") and word not in known] == []


def test_the_page_has_commands_to_look_at() -> None:
    assert {"restore", "check", "keys", "user"} <= {words[0] for words in named_on_the_page()}


def test_the_page_names_every_variable_that_the_compose_file_asks_for() -> None:
    page = (ROOT / "docs/docker.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))

    assert [name for name in asked if f"`{name}`" not in page] == []
    assert KUBERNETES.is_dir()
