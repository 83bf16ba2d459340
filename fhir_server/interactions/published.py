"""What the server itself publishes as resources: the profiles that it enforces, read like any other.

They are not stored, so they are in no search and no history; whoever stores a resource under the same id
hides them. https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from fhir_server.clock import instant
from fhir_server.resources.codec import encode
from fhir_server.store.api import Stored

RELEASED: Final = 1_795_305_600_000
"""When this version of the server was released, ms since the epoch."""
_TYPE: Final = "StructureDefinition"


def published(type_: str, id_: str) -> Stored | None:
    """Return what is published as ``type_/id_``; None for anything else."""
    return _all().get(id_) if type_ == _TYPE else None


@cache
def profiles(type_: str) -> tuple[str, ...]:
    """Return the canonical URLs of the profiles on a resource type that are enforced."""
    trees = (json.loads(each.body) for each in _all().values())
    return tuple(sorted(tree["url"] for tree in trees if tree["type"] == type_))


@cache
def _all() -> dict[str, Stored]:
    folder = files("conformance") / "profiles"
    trees: list[dict[str, Any]] = [
        json.loads(each.read_bytes()) for each in folder.iterdir() if each.name.endswith(".json")
    ]
    return {tree["id"]: _stored(tree) for tree in trees}


def _stored(tree: dict[str, Any]) -> Stored:
    head = {
        "resourceType": _TYPE,
        "id": tree["id"],
        "meta": {"versionId": "1", "lastUpdated": instant(RELEASED)},
    }
    return Stored(_TYPE, tree["id"], 1, RELEASED, "PUT", encode({**head, **tree, **head}))
