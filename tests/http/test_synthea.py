"""The synthetic patients of ../shared/synthea load whole, and every resource is found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fhir_server.resources.codec import decode
from tests.http.server import Server, Tree, load, matches

SHARED = Path(os.environ.get("FHIR_SHARED", Path(__file__).parents[2].parent / "shared"))
FILES = sorted((SHARED / "synthea").glob("patient-*.json"))


@pytest.mark.skipif(not FILES, reason="no synthea bundles: set FHIR_SHARED or put shared/ beside the project")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_resource_is_stored_read_and_found_by_its_patient(server: Server, path: Path) -> None:
    sent = decode(path.read_bytes(), max_depth=64)

    answer = server.post("", path.read_bytes(), content_type="application/fhir+json")

    assert answer.status_code == 200, answer.text[:2000]
    names = ["/".join(e["response"]["location"].split("/")[-4:-2]) for e in load(answer)["entry"]]
    assert len(set(names)) == len(sent["entry"]) == len(names)
    for name, entry in zip(names, sent["entry"], strict=True):
        read = server.get(name)
        assert read.status_code == 200
        tree = load(read)
        assert "urn:uuid:" not in str(references(tree))
        assert set(tree) - {"meta", "id"} == set(entry["resource"]) - {"meta", "id"}
    (patient,) = (name for name in names if name.startswith("Patient/"))
    for type_ in sorted({name.partition("/")[0] for name in names}):
        of_type = {name.partition("/")[2] for name in names if name.startswith(f"{type_}/")}
        found = {id_ for page in server.pages(search(type_, patient, of_type)) for id_ in matches(page)}
        assert of_type == found, type_


def search(type_: str, patient: str, ids: set[str]) -> str:
    """Return the search that finds the bundle's resources of a type: by patient where the type has one."""
    by_id = f"{type_}?_id={','.join(ids)}&_count=1000"
    of_nobody = {"Patient", "Organization", "Practitioner", "Location", "PractitionerRole", "Provenance"}
    return by_id if type_ in of_nobody else f"{type_}?patient={patient}&_count=1000"


def references(tree: Tree) -> list[str]:
    """Return every literal reference of a resource."""
    found: list[str] = []
    todo: list[object] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if isinstance(node.get("reference"), str):
                found.append(node["reference"])
            todo += node.values()
        elif isinstance(node, list):
            todo += node
    return found
