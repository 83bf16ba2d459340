"""The schemas as formats: options, several tables in one file, positions, databases, order, joining."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from mappings.engine.model import Issue, Message, Refused
from mappings.formats import get
from mappings.his.rows import Row
from mappings.his.tables import schema
from mappings.his.writing import write_database
from tests.mapping.his.world import extract, format_of, messages, rows_of

JUNWEI = format_of("junwei")


def split(data: bytes, **options: str) -> list[Message]:
    found = list(JUNWEI.split(data, options))
    assert not [item for item in found if isinstance(item, Issue)]
    return [item for item in found if isinstance(item, Message)]


def archive(*tables: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for table in tables:
            file.writestr(f"{table}.csv", extract("junwei", table))
    return stream.getvalue()


def test_both_schemas_are_formats_by_name() -> None:
    assert get("junwei") is JUNWEI
    assert get("hsa").name == "hsa"


def test_options_say_what_the_file_does_not() -> None:
    data = "01|内科\n".encode("gb18030")
    found = split(
        data, where="x.txt", table="dept_dict", columns="DEPT_CODE, DEPT_NAME", encoding="gbk", delimiter="|"
    )

    assert [(row.kind, row.tree) for row in found] == [
        ("DEPT_DICT", {"DEPT_CODE": "01", "DEPT_NAME": "内科"})
    ]


def test_a_file_of_several_tables_is_read_in_order_and_goes_on_in_the_middle() -> None:
    data = archive("LAB_RESULT", "DIAGNOSIS", "DEPT_DICT")
    every = split(data, where="his.zip")

    assert [row.kind for row in every] == ["DEPT_DICT"] * 3 + ["DIAGNOSIS"] * 2 + ["LAB_RESULT"] * 3
    for at in (0, 2, 3, 7):
        row = every[at]
        assert isinstance(row, Row)
        rest = split(data, where="his.zip", after=row.position.text)
        assert [one.where for one in rest] == [one.where for one in every[at + 1 :]]


@pytest.mark.parametrize("after", ["nonsense", '["text","other",1,1]', "[]"])
def test_a_position_of_none_of_the_tables_is_refused(after: str) -> None:
    with pytest.raises(Refused, match="start from the beginning"):
        split(archive("DEPT_DICT"), where="his.zip", after=after)


def test_a_database_is_read_by_its_address_or_the_variable_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'his.db'}"
    for table in ("PAT_MASTER_INDEX", "DEPT_DICT"):
        write_database(rows_of("junwei")[table], schema("junwei")[table], url, create=True)
    monkeypatch.setenv("HIS_DATABASE", url)

    assert [row.kind for row in split(b"", database=url)] == ["DEPT_DICT"] * 3 + ["PAT_MASTER_INDEX"] * 2
    found = split(b"", database="HIS_DATABASE", table="PAT_MASTER_INDEX")
    assert [row.tree for row in found] == rows_of("junwei")["PAT_MASTER_INDEX"]
    with pytest.raises(Refused, match="address"):
        split(b"", database="NO_SUCH_VARIABLE")


def test_files_are_loaded_in_the_order_of_their_tables(tmp_path: Path) -> None:
    for name, table in (("a.csv", "LAB_RESULT"), ("b.csv", "CLINIC_MASTER"), ("c.csv", "PAT_MASTER_INDEX")):
        (tmp_path / name).write_bytes(extract("junwei", table))
    (tmp_path / "0-notes.md").write_text("no table", encoding="utf-8")
    files = sorted(tmp_path.iterdir())

    assert [file.name for file in JUNWEI.ordered(files)] == ["c.csv", "b.csv", "a.csv", "0-notes.md"]


def test_joined_rows_are_split_into_themselves() -> None:
    rows = messages("junwei", "DIAGNOSIS")
    text = JUNWEI.join(rows, {"encoding": "gb18030", "delimiter": "\t", "titles": "true"})
    book = JUNWEI.join(rows, {"as": "workbook"})

    assert "病人标识号\t".encode("gb18030") in text
    assert [row.tree for row in split(text, where="DIAGNOSIS.tsv")] == rows_of("junwei")["DIAGNOSIS"]
    assert [row.tree for row in split(book, where="DIAGNOSIS.xlsx")] == rows_of("junwei")["DIAGNOSIS"]


def test_rows_of_several_tables_do_not_make_one_file() -> None:
    with pytest.raises(Refused, match="one table"):
        JUNWEI.join([*messages("junwei", "DIAGNOSIS"), *messages("junwei", "DEPT_DICT")], {})
    with pytest.raises(Refused, match="one table"):
        JUNWEI.join([], {})


def test_the_fields_of_a_map_are_its_tables_columns() -> None:
    [map_] = [map_ for map_ in JUNWEI.maps() if map_.kind == "DEPT_DICT"]

    assert JUNWEI.fields(map_)[:2] == ["SERIAL_NO", "DEPT_CODE"]


def test_an_unknown_overlay_is_refused() -> None:
    with pytest.raises(Refused, match="no overlay"):
        JUNWEI.map_for(Message("DEPT_DICT", {}), ["province"])
