"""Every map of both schemas: golden pairs, the two laws on made-up rows, two opinions on what is valid R4."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.resources.codec import decode, encode
from fhir_server.validation import errors
from mappings.engine.batches import convert
from mappings.engine.laws import broken, some_message
from mappings.engine.model import Context, Map, Message
from mappings.engine.run import read_all
from mappings.his.format import anchor, holds
from tests.mapping.his.world import CONTEXT, SCHEMAS, TABLES, entries, format_of, golden, messages, rows_of

MAPS = {map_.name: map_ for name in SCHEMAS for map_ in format_of(name).maps()}


def made_up(map_: Map, seed: int) -> Message:
    """Make a row up as a hospital may have it: of the map's kind, each number of staff one person's."""
    random = Random(seed)
    doctors = {
        column: partial(_number, column) for column in ("zz_doctor_id", "jz_doctor_id", "zg_doctor_id")
    }
    message = some_message(map_, random, doctors)
    if map_.kind == "ORDERS":
        message.tree["ORDER_CLASS"] = random.choice("AB" if map_.name == "junwei-drug-orders" else "CDEFZ")
    assert holds(anchor(map_).when, message.tree)
    return message


def _number(column: str, random: Random) -> str:
    return f"{column}-{random.randint(1, 99)}"


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_rows_become_the_entries_that_were_read_through(name: str, table: str) -> None:
    assert entries(name, table) == golden(name)[table]


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_golden_rows_lose_nothing_and_come_back_alike(name: str, table: str) -> None:
    format_ = format_of(name)
    rows = messages(name, table)

    assert [row.tree for row in rows] == rows_of(name)[table]
    for row in rows:
        map_ = format_.map_for(row)
        assert map_ is not None
        result = read_all(map_, [row], CONTEXT)
        left = {unmapped.path for unmapped in result.unmapped} - map_.ignored.keys()
        assert not left
        assert not [issue for issue in result.issues if issue.severity in {"error", "fatal"}]
        assert broken(map_, row, CONTEXT) == []


def test_every_table_of_the_schemas_has_golden_rows_and_a_map() -> None:
    without = {("hsa", "base_disease")}  # a dictionary whose ids the diagnoses carry as codes
    for name in SCHEMAS:
        format_ = format_of(name)
        tables = {table for table in format_.schema if (name, table) not in without}
        assert {map_.kind for map_ in format_.maps()} == tables == rows_of(name).keys()


# A seed, not draws of Hypothesis itself: a row of ninety columns needs more of those than there are.
@pytest.mark.parametrize("name", MAPS)
@settings(max_examples=12, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_both_laws_hold_on_made_up_rows(name: str, seed: int) -> None:
    assert broken(MAPS[name], made_up(MAPS[name], seed)) == []


@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
def test_made_up_rows_are_valid_r4_to_the_server_and_to_fhir_resources(map_: Map) -> None:
    rows = [made_up(map_, seed) for seed in range(3)]
    for entry in read_all(map_, rows, Context(source="laws", archive=False)).bundle["entry"]:
        tree = decode(encode(entry["resource"]))
        found = errors(tree)

        # Made-up rows leave columns out that an element needs, and end before they begin.
        assert [i for i in found if "required" not in i.diagnostics and "per-1" not in i.diagnostics] == []
        if not found:
            get_fhir_model_class(tree["resourceType"]).model_validate(plain(tree))


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_golden_entries_are_valid_r4_to_the_server_and_to_fhir_resources(name: str, table: str) -> None:
    for line in golden(name)[table]:
        tree = decode(line.encode())["resource"]

        assert errors(tree) == []
        get_fhir_model_class(tree["resourceType"]).model_validate(plain(tree))


def plain(tree: Any) -> Any:
    """Return a tree without Decimals: pydantic's strict JSON."""
    return json.loads(encode(tree))


@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
def test_every_column_that_a_map_names_is_one_of_its_table(map_: Map) -> None:
    columns = set(format_of(map_.format).schema[map_.kind].columns)
    named = {
        source for target in map_.targets for identity in target.identities for source in identity.values
    }
    named |= {
        source for target in map_.targets for item in target.fields for source in getattr(item, "sources", ())
    }
    named = {source for source in named if not source.startswith("$")} | map_.ignored.keys()

    assert named <= columns


JUNWEI = [map_ for map_ in MAPS.values() if map_.format == "junwei"]


@pytest.mark.parametrize("map_", JUNWEI, ids=[map_.name for map_ in JUNWEI])
def test_every_column_of_junwei_is_mapped_or_left_out_with_a_reason(map_: Map) -> None:
    found = {
        source for target in map_.targets for identity in target.identities for source in identity.values
    }
    found |= {
        source for target in map_.targets for item in target.fields for source in getattr(item, "sources", ())
    }

    assert set(format_of("junwei").schema[map_.kind].columns) == found | map_.ignored.keys()


def read(name: str, table: str, /, **row: str) -> tuple[list[dict[str, Any]], list[str]]:
    format_ = format_of(name)
    found = list(convert(format_, [Message(table, row)], CONTEXT))
    resources = [entry["resource"] for each in found if each.result for entry in each.result.bundle["entry"]]
    issues = [
        issue.sentence
        for each in found
        for issue in (*each.issues, *(each.result.issues if each.result else ()))
    ]
    return resources, issues


def test_a_visit_without_patient_number_makes_a_patient_of_its_own() -> None:
    visit, patient = read("junwei", "CLINIC_MASTER", VISIT_DATE="2024-01-05", VISIT_NO="9", NAME="某某")[0]

    assert patient["identifier"][0]["system"].endswith("h1-visit-patient")
    assert visit["subject"]["reference"]
    with_number = read("junwei", "CLINIC_MASTER", VISIT_DATE="2024-01-05", VISIT_NO="9", PATIENT_ID="7")[0]
    assert with_number[1]["identifier"][0]["system"].endswith("h1-patient")


def test_an_order_goes_to_the_map_of_its_class() -> None:
    key = {"PATIENT_ID": "1", "VISIT_ID": "1", "ORDER_NO": "1", "ORDER_SUB_NO": "1"}

    assert read("junwei", "ORDERS", **key, ORDER_CLASS="B")[0][0]["resourceType"] == "MedicationRequest"
    assert read("junwei", "ORDERS", **key, ORDER_CLASS="C")[0][0]["resourceType"] == "ServiceRequest"
    assert read("junwei", "ORDERS", **key)[0][0]["resourceType"] == "ServiceRequest"


def test_a_result_that_is_no_number_keeps_its_text_and_unit() -> None:
    key = {"TEST_NO": "1", "ITEM_NO": "1", "PRINT_ORDER": "1"}
    number, _ = read(
        "junwei", "LAB_RESULT", **key, RESULT="＜0.5".replace("＜", "<"), UNITS="g/L", RESULT_RANGE="<1.5"
    )
    words, _ = read("junwei", "LAB_RESULT", **key, RESULT="阳性(++)", UNITS="g/L", ABNORMAL_INDICATOR="↑")

    assert number[0]["valueQuantity"] == {
        "comparator": "<",
        "value": number[0]["valueQuantity"]["value"],
        "unit": "g/L",
    }
    assert str(number[0]["referenceRange"][0]["high"]["value"]) == "1.5"
    assert "low" not in number[0]["referenceRange"][0]
    assert words[0]["valueString"] == "阳性(++)\u00a0g/L"
    assert words[0]["interpretation"][0]["coding"][1]["code"] == "H"


def test_a_laboratory_report_of_an_outpatient_refers_to_no_stay() -> None:
    inpatient, _ = read("junwei", "LAB_TEST_MASTER", TEST_NO="1", PATIENT_ID="1", VISIT_ID="2")
    outpatient, _ = read("junwei", "LAB_TEST_MASTER", TEST_NO="1", PATIENT_ID="1", VISIT_ID="0")

    assert inpatient[0]["encounter"]["reference"].startswith("Encounter?identifier=")
    assert "encounter" not in outpatient[0]


def test_a_code_of_the_hospitals_own_is_kept_with_a_warning() -> None:
    row = {"VISIT_DATE": "2024-01-05", "VISIT_NO": "1", "RCPT_NO": "R", "ITEM_NO": "1", "ITEM_NAME": "x"}
    resources, issues = read("junwei", "OUTP_BILL_ITEMS", **row, ITEM_CLASS="Q9")

    assert resources[0]["extension"][0]["valueCoding"]["code"] == "Q9"
    assert any("junwei-item-class" in sentence for sentence in issues)


def test_a_value_that_cannot_be_converted_costs_that_value_only() -> None:
    resources, issues = read(
        "junwei", "PAT_MASTER_INDEX", PATIENT_ID="1", NAME="张三", DATE_OF_BIRTH="不详", SEX="男"
    )

    assert resources[0]["gender"] == "male"
    assert "birthDate" not in resources[0]
    assert any("DATE_OF_BIRTH" in sentence for sentence in issues)


def test_a_table_without_a_map_is_reported() -> None:
    resources, issues = read("hsa", "base_disease", id="1", name="x")

    assert resources == []
    assert any("base_disease" in sentence for sentence in issues)
