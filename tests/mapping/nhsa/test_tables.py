"""The committed data: field tables, code tables, and what they publish."""

from __future__ import annotations

import re

import pytest

from fhir_server.validation import errors
from mappings.nhsa.codes import address, resources, tables
from mappings.nhsa.fields import numbers, transaction
from mappings.nhsa.format import styles
from tests.mapping.nhsa.messages import table

TABLES = 303


def test_reads_every_field_table() -> None:
    for number in numbers():
        described = transaction(number)
        assert described is not None
        assert described.number == number
        assert re.search(r"[一-鿿]", described.title)
        for blocks in described.blocks.values():
            for block in blocks:
                assert len(block.path) == len(block.repeats)
                for field in block.fields.values():
                    assert field.type in {"text", "number", "date", "datetime", "block"}
                    assert field.scale <= (field.length or field.scale)
                    assert field.means == "" or field.means in block.fields


def test_every_table_that_a_field_names_exists() -> None:
    named = {
        field.name: table(field)
        for number in numbers()
        for blocks in (transaction(number) or pytest.fail(number)).blocks.values()
        for block in blocks
        for field in block.fields.values()
        if field.table
    }

    assert all(found.natives for found in named.values())
    assert len(named) > 100


def test_describes_a_settlement_as_the_specification_does() -> None:
    settlement = transaction("2207")
    assert settlement is not None
    [info] = [block for block in settlement.side("response") if block.dotted == "setlinfo"]
    amount = info.fields["medfee_sumamt"]

    assert (amount.title, amount.type, amount.length, amount.scale, amount.required) == (
        "医疗费总额",
        "number",
        16,
        2,
        True,
    )
    assert info.repeats == (False,)
    assert [block.repeats for block in settlement.side("response") if block.dotted == "setldetail"] == [
        (True,)
    ]


@pytest.mark.parametrize(("kind", "number"), [("2206A", "2206"), ("2203A", "2203A"), ("1306A", "1306A")])
def test_letter_variants_without_a_table_of_their_own_use_the_plain_one(kind: str, number: str) -> None:
    found = transaction(kind)

    assert found is not None
    assert found.number == number


@pytest.mark.parametrize("kind", ["9999", "", "A", "2206X1"])
def test_knows_nothing_of_other_transactions(kind: str) -> None:
    assert transaction(kind) is None


def test_has_every_code_table_of_the_specification() -> None:
    own = [name for name in tables() if tables()[name].system == address(name)]

    assert len(own) == TABLES
    assert tables()["insutype"].display["310"] == "职工基本医疗保险"
    assert tables()["dept"].display["A32.01"] == "X线诊断专业"


def test_keeps_both_displays_where_the_specification_lists_a_code_twice() -> None:
    assert tables()["clr_type_outside"].display["310412"] == "职工跨省药店购药 / 居民跨省药店购药"


@pytest.mark.parametrize(
    ("name", "code", "known"),
    [
        ("psn_type", "116032", "1160"),
        ("psn_type", "1101", "1101"),
        ("psn_type", "1507", "15"),
        ("insutype", "39999", "399"),
        ("med_type", "2101", "2101"),
        ("med_type", "2199", "21"),
        ("psn_type", "2", None),
        ("chrgitm_lv", "0101", None),
    ],
)
def test_understands_provincial_codes_by_their_longest_prefix(
    name: str, code: str, known: str | None
) -> None:
    assert tables()[name].known(code) == known


@pytest.mark.parametrize(
    ("name", "native", "fhir"),
    [
        ("psn_insu_stas", "1", "active"),
        ("psn_insu_stas", "2", "cancelled"),
        ("encounter-class", "1103", "AMB"),
        ("encounter-class", "1301", "EMER"),
        ("encounter-class", "2101", "IMP"),
        ("claim-type", "41", "pharmacy"),
        ("claim-type", "52", "institutional"),
        ("claim-use", "2206A", "predetermination"),
        ("claim-use", "2207A", "claim"),
        ("dscg_way", "5", "exp"),
        ("used_frqu", "12", "BID"),
        ("inout_diag_type", "2", "DD"),
    ],
)
def test_says_what_fhir_says(name: str, native: str, fhir: str) -> None:
    found = tables()[name]

    assert found.to[found.known(native) or ""] == fhir


def test_publishes_valid_code_systems_value_sets_and_maps_with_addresses_of_their_own() -> None:
    made = list(resources())
    kinds = [each["resourceType"] for each in made]

    assert kinds.count("CodeSystem") == kinds.count("ValueSet") >= TABLES
    assert kinds.count("ConceptMap") >= 8
    assert len({each["url"] for each in made}) == len(made)
    for each in made:
        assert errors(each) == [], each["url"]


def test_every_code_of_a_table_stands_once() -> None:
    for each in resources():
        codes = [concept["code"] for concept in each.get("concept", ())]
        assert len(set(codes)) == len(codes), each["url"]
        assert not any(" " in code for code in codes), each["url"]


def test_every_region_that_writes_in_a_way_of_its_own_reads() -> None:
    assert {"specification", "hunan", "zhejiang", "liaoning", "chongqing"} <= set(styles())
    style, envelope = styles()["liaoning"]
    assert (style.expansion, envelope["recer_sys_code"]) == ("object", "YMXCHIS")
