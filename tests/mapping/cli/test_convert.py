"""fhir-map convert: Bundles on standard output, the report on standard error, an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mapping.cli.conftest import ROWS, FhirMap, words

GOOD = ROWS.replace("1981-02-30,x", "1981-02-28,")


def test_what_does_not_convert_is_told_with_its_line_and_the_rest_is_converted(fhir_map: FhirMap) -> None:
    done = fhir_map(*words("--no-archive"))

    assert done.code == 1
    assert len(done.bundles[0]["entry"]) == 3
    assert "error: people.csv:3 born: The value is no date of the calendar." in done.err
    assert "unmapped: extra" in done.err
    assert "3 messages, 1 Bundle, 3 resources; 1 error" in done.err
    assert "乙" not in done.err


def test_a_clean_file_is_exit_code_0(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "people.csv").write_text(GOOD, encoding="utf-8")

    assert fhir_map(*words()).code == 0


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig", "utf-16"])
def test_encodings_are_found_out(fhir_map: FhirMap, folder: Path, encoding: str) -> None:
    (folder / "people.csv").write_text(GOOD, encoding=encoding)

    first = fhir_map(*words("--no-archive")).bundles[0]["entry"][0]["resource"]
    assert first["name"] == [{"text": "甲"}]


def test_rows_are_put_into_bundles_of_the_number_asked_for(fhir_map: FhirMap) -> None:
    assert [len(bundle["entry"]) for bundle in fhir_map(*words("--no-archive", "--rows", "2")).bundles] == [
        2,
        1,
    ]


def test_the_original_is_archived_unless_it_is_not_wanted(fhir_map: FhirMap) -> None:
    entries = fhir_map(*words()).bundles[0]["entry"]

    assert [entry["resource"]["resourceType"] for entry in entries[3:]] == [
        "Binary",
        "DocumentReference",
        "Provenance",
    ]
    assert entries[3]["resource"]["contentType"] == "text/csv"


def test_standard_input_and_folders_are_read(fhir_map: FhirMap, folder: Path) -> None:
    stdin = fhir_map("convert", "-", "--from", "table", "--maps", "maps", "--no-archive", stdin=GOOD.encode())
    assert len(stdin.bundles[0]["entry"]) == 3

    (folder / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / "in" / name).write_text(GOOD, encoding="utf-8")
    assert len(fhir_map("convert", "in", "--from", "table", "--maps", "maps").bundles) == 2


def test_a_file_that_cannot_be_read_does_not_keep_the_others_out(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "broken.csv").write_bytes(b"")

    done = fhir_map("convert", "nobody.csv", "broken.csv", "people.csv", "--from", "table", "--maps", "maps")

    assert done.code == 1
    assert "nobody.csv: The file cannot be opened" in done.err
    assert len(done.bundles) == 1


def test_there_and_back_is_the_same_file(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "people.csv").write_text(GOOD, encoding="utf-8")
    (folder / "b.ndjson").write_text(fhir_map(*words("--rows", "2")).out, encoding="utf-8")

    done = fhir_map("convert", "b.ndjson", "--to", "table", "--maps", "maps")

    assert done.code == 0
    assert done.out.lstrip("\ufeff").splitlines() == [
        "no,name,born",
        "1,甲,1980-01-02",
        "2,乙,1981-02-28",
        "3,丙,1982-03-04",
    ]


def test_a_bundle_that_no_map_writes_is_told(fhir_map: FhirMap, folder: Path) -> None:
    (folder / "b.json").write_text('{"resourceType": "Bundle"}', encoding="utf-8")
    (folder / "c.json").write_text("nothing", encoding="utf-8")

    assert "No map writes this Bundle" in fhir_map("convert", "b.json", "--to", "table", "--maps", "maps").err
    assert (
        "c.json:1: This line is no JSON"
        in fhir_map("convert", "c.json", "--to", "table", "--maps", "maps").err
    )


def test_the_report_is_written_as_json(fhir_map: FhirMap, folder: Path) -> None:
    fhir_map(*words("--report", "report.json"))

    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (report["messages"], report["counts"], report["unmapped"]) == (
        3,
        {"error": 1},
        {"born": 1, "extra": 1},
    )
    assert report["issues"][0]["where"] == "people.csv:3 born"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ("convert", "people.csv", "--from", "nobody"),
            "There is no format 'nobody' (formats: hsa, junwei, nhsa, table).",
        ),
        (("convert", "people.csv", "--from", "table"), "needs the folder of your maps: --maps DIR"),
        (("convert", "b.json", "--to", "table", "--maps", "maps", "--map", "x"), "has no map 'x'"),
        (
            ("convert", "people.csv", "--from", "table", "--maps", "maps", "--overlay", "x"),
            "There is no overlay 'x'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    fhir_map: FhirMap, given: tuple[str, ...], sentence: str
) -> None:
    done = fhir_map(*given)

    assert done.code == 1
    assert sentence in done.err


@pytest.mark.parametrize(
    "given",
    [
        ("convert", "x"), ("convert", "x", "--from", "a", "--to", "b"),
        ("convert", "x", "--from", "a", "--journal", "j"),
        words("--zone", "8"), words("--option", "x"), words("--rows", "0"), ("check",),
    ],
)  # fmt: skip
def test_misuse_is_exit_code_2(fhir_map: FhirMap, given: tuple[str, ...]) -> None:
    assert fhir_map(*given).code == 2


def test_a_map_that_does_not_hold_is_refused_with_line_and_column(fhir_map: FhirMap, folder: Path) -> None:
    map_ = folder / "maps" / "people.yaml"
    map_.write_text(
        map_.read_text(encoding="utf-8").replace("convert: date", "convert: dat"), encoding="utf-8"
    )

    done = fhir_map(*words())
    assert done.code == 1
    assert "people.yaml:13:46: 'dat' is no converter" in done.err
