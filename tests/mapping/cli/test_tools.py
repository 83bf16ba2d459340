"""fhir-map check, new, diff and explain."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.cli import app
from mappings.engine.guess import guess
from mappings.engine.laws import broken
from mappings.engine.model import Context, Message
from mappings.engine.run import read_all
from mappings.engine.scaffold import scaffold
from mappings.engine.schema import parse
from tests.mapping.cli.conftest import FhirMap

TABLE = ("--from", "table", "--maps", "maps")


def edit(folder: Path, old: str, new: str) -> None:
    map_ = folder / "maps" / "people.yaml"
    text = map_.read_text(encoding="utf-8")
    assert old in text
    map_.write_text(text.replace(old, new), encoding="utf-8")


def test_a_map_that_holds_is_shown_with_what_it_carries(fhir_map: FhirMap) -> None:
    done = fhir_map("check", "maps/people.yaml")

    assert done.code == 0
    assert "people holds (30 made-up messages)." in done.err
    assert "Patient.birthDate" in done.out


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("to: birthDate", "to: birthdate", "Patient has no element birthdate"),
        ("name[0].text", "name.text", "Patient.name is a list: say which one, as name[0]"),
        ("convert: date", "convert: {constant: {value: soon}}", "Patient.birthDate"),
        ("to: birthDate, convert: date", 'to: "name[0].text"', "write(read(m)) = m"),
        ("type: Patient", "type: Patent", "Patent is no resource type of FHIR R4"),
    ],
)
def test_a_map_that_does_not_hold_is_exit_code_1(
    fhir_map: FhirMap, folder: Path, old: str, new: str, sentence: str
) -> None:
    edit(folder, old, new)

    done = fhir_map("check", "maps/people.yaml", "--no-table")
    assert done.code == 1
    assert sentence in done.err
    assert "does not hold" in done.err


def test_all_maps_of_a_folder_are_checked(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "maps" / "two.yaml").write_text(
        (folder / "maps" / "people.yaml").read_text("utf-8").replace("people", "two"), encoding="utf-8"
    )

    assert fhir_map("check", "--maps", "maps", "--examples", "2").err.count("holds (2 made-up messages)") == 2


def test_diff_shows_what_comes_back_otherwise(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "people.csv").write_text(
        "no,name,born,extra\n1,a,1980/1/2,x\n2,b,1980-01-02,\n", encoding="utf-8"
    )

    done = fhir_map("diff", "people.csv", *TABLE)
    assert done.code == 1
    assert "~ born: 1980/1/2 → 1980-01-02" in done.out
    assert "- extra: x (unmapped)" in done.out
    assert "2 messages, 1 come back otherwise." in done.err

    (folder / "people.csv").write_text("no,name,born\n1,a,1980-01-02\n", encoding="utf-8")
    assert fhir_map("diff", "people.csv", *TABLE).code == 0


def test_explain_names_field_value_converter_and_line(fhir_map: FhirMap) -> None:
    done = fhir_map("explain", "people.csv", *TABLE, "--limit", "1")

    [line] = [line for line in done.out.splitlines() if "Patient.birthD" in line]
    assert "born" in line
    assert "1980-01-02" in line
    assert "date" in line


def test_explain_shows_only_the_element_asked_for(fhir_map: FhirMap) -> None:
    out = fhir_map("explain", "people.csv", *TABLE, "--element", "Patient.name").out

    assert "甲" in out
    assert "birthD" not in out


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "ndjson"])
def test_new_makes_a_map_that_holds_and_reads_its_sample(
    fhir_map: FhirMap, folder: Path, suffix: str
) -> None:
    rows = {
        "csv": "no,sex,fee,when\n1,男,1.50,2024-01-02 10:00:00\n2,女,2.00,2024-01-03 10:00:00\n",
        "tsv": "no\tsex\tfee\twhen\n1\t男\t1.50\t2024-01-02 10:00:00\n2\t女\t2.00\t2024-01-03 10:00:00\n",
        "json": '[{"no": 1, "sex": "男", "fee": 1.50, "when": "2024-01-02 10:00:00"}, {"no": 2, "deep": {}}]',
        "ndjson": '{"no": 1, "sex": "男"}\n{"no": 2, "sex": "女"}\n',
    }
    (folder / f"sample.{suffix}").write_text(rows[suffix], encoding="utf-8")

    made = fhir_map("new", f"sample.{suffix}")
    assert made.code == 0
    (folder / "made.yaml").write_text(made.out, encoding="utf-8")
    assert fhir_map("check", "made.yaml", "--no-table").code == 0


def test_new_refuses_a_sample_without_rows(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "empty.json").write_text("[]", encoding="utf-8")
    (folder / "text.json").write_text("hello", encoding="utf-8")

    assert "no rows to guess from" in fhir_map("new", "empty.json").err
    assert "neither JSON nor JSON lines" in fhir_map("new", "text.json").err


_CELLS = st.one_of(
    st.sampled_from(
        ["", "男", "女", "0", "1", "是", "2024-01-02", "2024-01-02 10:00:00", "1.50", "110101199003074258"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=8),
)


_HEADS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda name: bool(name) and not name.startswith("$"))
)


@settings(max_examples=30)
@given(st.data())
def test_whatever_the_sample_the_map_that_is_made_holds_and_drops_nothing(data: st.DataObject) -> None:
    names = data.draw(st.lists(_HEADS, min_size=1, max_size=5, unique_by=str.lower))
    columns = {name: data.draw(st.lists(_CELLS, min_size=4, max_size=4)) for name in names}

    map_ = parse(scaffold("sample", columns, 4), "made.yaml")

    rows = [Message("sample", {name: cells[n] for name, cells in columns.items()}) for n in range(4)]
    result = read_all(map_, rows, Context(archive=False))
    assert not [issue for issue in result.issues if issue.severity == "error"]
    nameless = any(issue.code == "required" for issue in result.issues)
    assert nameless or result.unmapped == []
    for row in rows:
        assert nameless or all("made" not in str(one.path) for one in broken(map_, row))


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("性别", ["男", "女"], "gender"), ("出生日期", ["1980-01-02", "1981/2/3"], "date"),
        ("x", ["2024-01-02 10:00"], "datetime"),
        ("费用", ["1", "2.5"], "money"), ("x", ["1.50", "2.25"], "decimal"),
        ("证件号", ["110101199003074258"], "card"),
        ("手机", ["13800000000"], "phone"), ("x", ["是", "否", "是"], "flag"), ("x", ["a", "b"] * 4, "codes"),
        ("病历号", ["A1", "A2"], "key"), ("x", [""], "empty"), ("x", ["long text", "other"], "text"),
    ],
)  # fmt: skip
def test_a_column_is_guessed_with_a_reason(name: str, cells: list[str], kind: str) -> None:
    found = guess(name, cells)

    assert found.kind == kind
    assert found.why


def test_every_command_stands_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text(encoding="utf-8")
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]

    assert names
    assert [name for name in names if f"`fhir-map {name}`" not in page] == []
