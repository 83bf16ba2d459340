"""The OpenAPI document says what the route table serves, no less and no more."""

from __future__ import annotations

import json
from typing import Any

from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.rest.openapi import document
from fhir_server.rest.routes import ROUTES, match

DOCUMENT = json.loads(document())
EXAMPLES = {"type": "Patient", "target": "Observation", "id": "1", "version": "2", "operation": "meta"}


def test_every_route_is_documented_once() -> None:
    documented = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}

    assert documented == {(route.method, route.path) for route in ROUTES}


def test_every_documented_path_leads_to_its_interaction() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            assert [match(method.upper(), path.format(**EXAMPLES)).name] == operation["tags"]


def test_every_placeholder_is_a_declared_parameter_and_the_reverse() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            resolved = [resolve(parameter) for parameter in operation["parameters"]]
            names = {parameter["name"] for parameter in resolved if parameter["in"] == "path"}
            assert names == {name for name in EXAMPLES if f"{{{name}}}" in path}


def test_every_reference_resolves() -> None:
    for reference in references(DOCUMENT):
        assert resolve({"$ref": reference})


def test_all_types_share_one_parameter() -> None:
    assert set(DOCUMENT["components"]["parameters"]["type"]["schema"]["enum"]) == RESOURCE_TYPES


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]

    assert len(ids) == len(set(ids))


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a local $ref."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(node: Any) -> list[str]:
    """Return every $ref below ``node``."""
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for item in node.values() for found in references(item)]
    return []
