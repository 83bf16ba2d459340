"""Catalogues, reconciliation lists and enrolment tables, in and out; and what is wrong with them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from mappings.engine.model import Issue, Message
from mappings.engine.run import read, read_all
from mappings.engine.write import write
from mappings.nhsa.files import CHUNK
from mappings.nhsa.parse import MAX_BYTES
from tests.mapping.nhsa.messages import FORMAT, PLAIN, map_of

CHRONIC = (
    "M03900\t心血管系统疾病\t高血压\t999900\tnull\t1\tR1\t2026-01-01\t2026-01-02\tV1\tnull\tV1\tnull\t"
    "null\t高血压病\tnull\n"
)


def split(raw: bytes | str, **options: str) -> list[Message | Issue]:
    data = raw.encode() if isinstance(raw, str) else raw
    return list(FORMAT.split(data, {"where": "file.txt", **options}))


def messages(raw: bytes | str, **options: str) -> list[Message]:
    return [item for item in split(raw, **options) if isinstance(item, Message)]


def faults(raw: bytes | str, **options: str) -> list[Issue]:
    return [item for item in split(raw, **options) if isinstance(item, Issue)]


def zipped(*members: tuple[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return out.getvalue()


def test_a_catalogue_becomes_one_code_system_and_comes_back() -> None:
    [message] = messages(CHRONIC + CHRONIC.replace("M03900", "M01600"), kind="1309")
    result = read(map_of("1309", ""), message, PLAIN)
    [entry] = result.bundle["entry"]

    assert result.unmapped == []
    assert [concept["code"] for concept in entry["resource"]["concept"]] == ["M03900", "M01600"]
    assert entry["resource"]["concept"][0]["display"] == "高血压病"
    [native] = write(map_of("1309", ""), result.bundle, PLAIN).messages
    assert FORMAT.join([native], {}).decode() == CHRONIC + CHRONIC.replace("M03900", "M01600")


def test_a_catalogue_of_diagnoses_says_which_code_of_another_edition_stands_beside_each() -> None:
    columns = FORMAT.fields(map_of("1307", ""))
    assert columns is not None
    cells = {
        "诊断代码": "I10.x00",
        "诊断名称": "高血压",
        "国标版诊断代码": "I10",
        "国标版诊断名称": "特发性高血压",
    }
    line = "\t".join(cells.get(name.partition(".")[2], "null") for name in columns)
    [message] = messages(line, kind="1307")
    made = [entry["resource"] for entry in read(map_of("1307", ""), message, PLAIN).bundle["entry"]]

    assert [each["resourceType"] for each in made] == ["CodeSystem", "ConceptMap", "ConceptMap"]
    [element] = made[1]["group"][0]["element"]
    assert (element["code"], element["target"][0]["code"], element["target"][0]["display"]) == (
        "I10.x00",
        "I10",
        "特发性高血压",
    )
    assert "target" not in made[2]["group"][0]["element"][0]


def test_reads_a_catalogue_inside_a_zip_by_the_files_name() -> None:
    [message] = messages(zipped(("1309_1.txt", CHRONIC)), where="1309.zip")

    assert message.kind == "1309"
    assert message.where == "1309.zip/1309_1.txt"


def test_parts_a_large_catalogue_of_drugs_into_messages() -> None:
    names = FORMAT.fields(map_of("1302", ""))
    assert names is not None
    rows = "".join(
        "\t".join([f"T{number}", "黄芪"] + ["null"] * (len(names) - 2)) + "\n" for number in range(CHUNK + 1)
    )

    found = messages(rows, kind="1302")
    assert [len(each.tree["rows"]) for each in found] == [CHUNK, 1]
    [entry] = read(map_of("1302", ""), found[1], PLAIN).bundle["entry"]
    assert entry["resource"]["code"]["text"] == "黄芪"


@pytest.mark.parametrize(
    ("line", "words"),
    [("x\t" * 40, "41 columns; the catalogue has 16"), ("null\tx", "has no 门慢门特病种目录代码")],
)
def test_leaves_out_a_bad_line_and_says_which(line: str, words: str) -> None:
    raw = f"{CHRONIC}{line}\n{CHRONIC.replace('M03900', 'M01600')}"

    [issue] = faults(raw, kind="1309")
    assert (issue.where, words in issue.sentence) == ("file.txt:2", True)
    assert len(messages(raw, kind="1309")[0].tree["rows"]) == 2


def test_reports_a_zip_that_cannot_be_unpacked() -> None:
    for damaged in (b"PK\x03\x04 this is no zip", zipped(("1309.txt", CHRONIC))[:60]):
        [issue] = faults(damaged, kind="1309")
        assert "cannot be unpacked" in issue.sentence


def test_refuses_a_zip_that_unpacks_to_too_much() -> None:
    [issue] = faults(zipped(("1309.txt", "0" * (MAX_BYTES + 1))), kind="1309")

    assert issue.code == "too-long"


def test_reports_a_file_of_a_kind_that_has_none() -> None:
    [issue] = faults("a\tb\n", kind="2207")

    assert "No file or table" in issue.sentence


def test_reads_the_two_lists_of_a_reconciliation() -> None:
    sent = "8001\t7001\t9001\t320.50\t242.63\t50.00\t0\n"
    [message] = messages(sent, kind="3202")
    entries = read(map_of("3202", ""), message, PLAIN).bundle["entry"]

    assert message.tree == {"upload": [dict(zip(upload(), sent.strip().split("\t"), strict=True))]}
    assert [entry["resource"]["resourceType"] for entry in entries] == ["Basic", "Patient"]
    assert (
        messages("9001\tnull\tnull\tM1\t1\t0\n", kind="3202", block="download")[0].tree["download"][0][
            "stmt_rslt"
        ]
        == "1"
    )


def upload() -> list[str]:
    fields = FORMAT.fields(map_of("3202", ""))
    assert fields is not None
    return [name.partition(".")[2] for name in fields if name.startswith("upload.")]


ENROLMENTS = """psnNo,insutype,psnInsuStas,insuAdmdvs,begnYm,expiYm,psnType
9001,310,1,999901,202001,209912,1101
9002,390,4,999901,202001,202212,1501
"""


def test_an_enrolment_table_becomes_coverages_and_comes_back() -> None:
    rows = messages(ENROLMENTS, kind="psn_insu_d")
    map_ = map_of("psn_insu_d", "")
    result = read_all(map_, rows, PLAIN)
    coverages = [
        entry["resource"]
        for entry in result.bundle["entry"]
        if entry["resource"]["resourceType"] == "Coverage"
    ]

    assert result.unmapped == []
    assert [each["status"] for each in coverages] == ["active", "cancelled"]
    assert [each["period"] for each in coverages] == [
        {"start": "2020-01"},
        {"start": "2020-01", "end": "2022-12"},
    ]
    back = write(map_, result.bundle, PLAIN).messages
    assert [each.tree for each in back] == [each.tree for each in rows]
    again = FORMAT.join(back, {}).decode()
    assert [each.tree for each in messages(again, kind="psn_insu_d")] == [each.tree for each in rows]


def test_knows_a_table_by_the_files_name() -> None:
    assert [each.kind for each in messages(ENROLMENTS, where="psn_insu_d_2026.csv")] == ["psn_insu_d"] * 2


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("psn_no,insutype\n1,2,3\n9,310\n", "3 columns; the header names 2"),
        ('psn_no,insutype\n"1"x,2\n9,310\n', "cannot be read"),
    ],
)
def test_leaves_out_a_bad_row_of_a_table_and_says_which(raw: str, words: str) -> None:
    [issue] = faults(raw, kind="psn_insu_d")

    assert (issue.where, words in issue.sentence) == ("file.txt:2", True)
    assert [each.tree for each in messages(raw, kind="psn_insu_d")] == [{"psn_no": "9", "insutype": "310"}]


def test_an_empty_table_is_reported() -> None:
    assert "first line names the columns" in faults("", kind="psn_insu_d")[0].sentence


def test_writes_messages_in_a_regions_style_and_refuses_an_unknown_one() -> None:
    message = Message("2204", {"feedetail": [{"feedetl_sn": "1", "cnt": "2"}]}, direction="request")
    written: Any = FORMAT.join([message], {"style": "zhejiang"}).decode()

    assert '"feedetail":{' in written
    assert '"cnt":"2"' in written
    assert '"recer_sys_code":"FSI_LOCAL"' in written
    assert FORMAT.join([message, message], {}).count(b"\n") == 2
    with pytest.raises(Exception, match="There is no style 'atlantis'"):
        FORMAT.join([message], {"style": "atlantis"})
