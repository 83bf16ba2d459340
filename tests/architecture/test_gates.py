"""docs/gates.md names the tests that guard each gate; they exist, and the policy's lists hold what R4 has."""

from __future__ import annotations

import re

import pytest

from fhir_server.access.policy import policy
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.parameters import parameters
from tests.architecture.sizes import ROOT

GATES = (ROOT / "docs/gates.md").read_text(encoding="utf-8")
ACCESS = (ROOT / "docs/access.md").read_text(encoding="utf-8")
_TABLE = GATES.partition("\n## ")[0].splitlines()
ROWS = [line for line in _TABLE if line.startswith("| ") and "---" not in line][1:]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", GATES)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_gate_names_a_test(row: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", row.split("|")[3])


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_guards_a_gate_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_leak_test_file_guards_a_gate() -> None:
    files = {f"tests/leak/{path.name}" for path in (ROOT / "tests/leak").glob("test_*.py")}

    assert files <= {file for file, _ in NAMED}


def test_the_policy_names_types_and_parameters_that_r4_has() -> None:
    known = policy()
    lists = (known.universal, known.knowledge, known.explicit, known.unwritable, known.governing)
    assert {type_ for each in lists for type_ in each} <= RESOURCE_TYPES
    assert not known.universal & known.knowledge
    used = [(type_, code) for type_, codes in known.owned.items() for code in codes]
    used += [(type_, code) for type_, ways in known.owned_through.items() for code, _ in ways]
    used += [(by, code) for by, *codes in known.patients_of for code in codes]
    for type_, code in used:
        assert parameters(type_)[code].type == "reference", (type_, code)


def test_what_makes_a_patient_an_organisations_own_is_written_only_about_patients_it_sees() -> None:
    """The guard looks at the compartment's parameters, so what makes a patient must be one of them."""
    from fhir_server.search.subjects import parameters  # noqa: PLC0415 - for this one test

    assert all(patient in parameters(by) for by, patient, _ in policy().patients_of)


def test_the_page_on_access_names_every_universal_type() -> None:
    assert [type_ for type_ in sorted(policy().universal) if f"`{type_}`" not in ACCESS] == []


def test_every_file_that_looks_at_everything_is_on_the_page() -> None:
    listed = set(re.findall(r"^\| `(fhir_server/[\w/]+\.py)` \|", GATES, re.MULTILINE))
    code = (path for path in (ROOT / "fhir_server").rglob("*.py") if path.name != "visibility.py")
    using = {
        str(path.relative_to(ROOT)) for path in code if "Visibility.everything(" in path.read_text("utf-8")
    }

    assert using == listed
