"""Workbooks and databases as sources; rows back out to texts, workbooks and databases."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from openpyxl import Workbook

from mappings.engine.model import Refused
from mappings.his.excel import Sheet
from mappings.his.opening import Options, open_database, open_place
from mappings.his.places import File, Stream
from mappings.his.rows import Bad, Row, Source
from mappings.his.sql import Query
from mappings.his.tables import schema
from mappings.his.writing import sql_table, write_database, write_text, write_workbook

JUNWEI = schema("junwei")
PATIENTS = JUNWEI["PAT_MASTER_INDEX"]
ROWS = [
    {
        "PATIENT_ID": "0000000001",
        "NAME": "张三",
        "SEX": "男",
        "DATE_OF_BIRTH": "1980-01-02",
        "ID_NO": "11010119800102001X",
    },
    {"PATIENT_ID": "0000000002", "NAME": '李"四', "SEX": "女", "VIP_INDICATOR": "1"},
    {"PATIENT_ID": "0000000003", "NAME": "=1+1", "MAILING_ADDRESS": "北京,海淀\n中关村"},
]


def trees(source: Source) -> list[dict[str, str]]:
    found = list(source.rows())
    assert all(isinstance(row, Row) for row in found), found
    return [row.tree for row in found if isinstance(row, Row)]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-8-sig", "utf-16-le"])
@pytest.mark.parametrize("titles", [True, False])
def test_a_text_that_was_written_is_read_back(encoding: str, *, titles: bool) -> None:
    data = b"".join(write_text(ROWS, PATIENTS, encoding, titles=titles))

    assert trees(open_place(Stream(io.BytesIO(data), "PAT_MASTER_INDEX.csv"), JUNWEI)[0]) == ROWS


def test_a_letter_that_the_encoding_lacks_is_refused_not_replaced() -> None:
    with pytest.raises(Refused, match="not in gb2312") as refusal:
        b"".join(write_text([{"NAME": "𠮷"}], PATIENTS, "gb2312"))
    assert "𠮷" not in str(refusal.value)


def test_a_long_text_comes_in_pieces() -> None:
    pieces = list(write_text(({"PATIENT_ID": str(n)} for n in range(3_500)), PATIENTS, "utf-8"))

    assert len([piece for piece in pieces if piece]) == 4
    assert b"".join(pieces).count(b"\r\n") == 3_501


def test_a_workbook_that_was_written_is_read_back_and_nothing_in_it_runs() -> None:
    data = write_workbook(ROWS, PATIENTS)

    assert trees(Sheet(Stream(io.BytesIO(data), "x.xlsx"), PATIENTS)) == ROWS
    assert b"<f>" not in data


def workbook(tmp_path: Path, *rows: list[object]) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    path = tmp_path / "PAT_MASTER_INDEX.xlsx"
    book.save(path)
    return path


def test_cells_of_a_workbook_are_written_as_an_export_would(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        [None],
        ["PATIENT_ID", "姓名", "DATE_OF_BIRTH", "VIP_INDICATOR", "CREATE_DATE", "ZIP_CODE"],
        [1.0, " 张三 ", datetime(1980, 1, 2), True, datetime(2024, 1, 5, 8, 30), 100000],  # noqa: DTZ001 - Excel has none
        [None, None],
        ["2", "李四"],
    )
    [sheet] = open_place(File(path), JUNWEI)

    assert trees(sheet) == [
        {
            "PATIENT_ID": "1", "NAME": " 张三", "DATE_OF_BIRTH": "1980-01-02", "VIP_INDICATOR": "1",
            "CREATE_DATE": "2024-01-05 08:30:00", "ZIP_CODE": "100000",
        },
        {"PATIENT_ID": "2", "NAME": "李四"},
    ]  # fmt: skip
    first, second = list(sheet.rows())
    assert [row.where for row in sheet.rows(after=first.position.text)] == [second.where]


def test_an_id_number_kept_as_a_number_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = workbook(
        tmp_path, ["PATIENT_ID", "ID_NO"], ["1", 110101198001020010], ["2", "110101198001020010", "x"]
    )
    warning, row, bad = list(open_place(File(path), JUNWEI)[0].rows())

    assert isinstance(warning, Bad)
    assert warning.severity == "warning"
    assert "ID_NO" in warning.sentence
    assert isinstance(row, Row)
    assert row.tree == {"PATIENT_ID": "1"}
    assert isinstance(bad, Bad)
    assert "beyond the header" in bad.sentence


@pytest.mark.parametrize(("data", "says"), [(b"no workbook", "xlsx"), (b"", "xlsx")])
def test_what_is_no_workbook_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        open_place(Stream(io.BytesIO(data), "a.xlsx"), JUNWEI)


def test_a_sheet_that_lacks_or_is_empty_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path)
    with pytest.raises(Refused, match="empty"):
        open_place(File(path), JUNWEI)
    with pytest.raises(Refused, match="no such sheet"):
        open_place(File(path), JUNWEI, Options(sheet="Nope"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'his.db'}"


def test_rows_written_to_a_database_are_read_back_and_resumed(url: str) -> None:
    rows = [{**ROWS[n % 2], "PATIENT_ID": f"{n:010d}"} for n in range(25)]
    assert write_database(rows, PATIENTS, url, create=True) == 25
    query = Query(url, PATIENTS, chunk=7)
    found = list(query.rows())

    assert [row.tree for row in found if isinstance(row, Row)] == rows
    for at in (0, 6, 7, 24):
        rest = query.rows(after=found[at].position.text)
        assert [row.tree for row in rest if isinstance(row, Row)] == rows[at + 1 :]


def test_a_key_of_several_columns_with_dates_is_followed(url: str) -> None:
    table = JUNWEI["OUTP_BILL_ITEMS"]
    rows = [
        {
            "VISIT_DATE": f"2024-01-0{d}",
            "VISIT_NO": str(v),
            "RCPT_NO": f"R{v}",
            "ITEM_NO": str(i),
            "AMOUNT": "1.50",
        }
        for d in (1, 2)
        for v in (1, 2, 10)
        for i in (1, 2)
    ]
    write_database(reversed(rows), table, url, create=True)
    found = list(Query(url, table, chunk=1).rows())

    assert [row.tree for row in found if isinstance(row, Row)] == rows
    assert [
        row.tree for row in Query(url, table).rows(after=found[3].position.text) if isinstance(row, Row)
    ] == rows[4:]


def test_names_in_other_letters_and_us7ascii_texts_are_understood(url: str) -> None:
    engine = sa.create_engine(url)
    garbled = "张三".encode("gb18030").decode("latin-1")
    with engine.begin() as connection:
        connection.execute(
            sa.text("create table pat_master_index (patient_id text, name text, own_column text)")
        )
        connection.execute(
            sa.text("insert into pat_master_index values ('1', :name, 'x')"), {"name": garbled}
        )
    [query] = open_database(url, JUNWEI)

    assert trees(query) == [{"PATIENT_ID": "1", "NAME": "张三", "own_column": "x"}]


def test_rows_without_a_key_are_reported_not_lost_in_silence(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("create table DEPT_DICT (DEPT_CODE text, DEPT_NAME text)"))
        connection.execute(sa.text("insert into DEPT_DICT values (null, 'a'), ('1', 'b')"))
    bad, row = list(Query(url, JUNWEI["DEPT_DICT"]).rows())

    assert isinstance(bad, Bad)
    assert "DEPT_CODE" in bad.sentence
    assert isinstance(row, Row)


@pytest.mark.parametrize("address", ["nonsense", "nodriver://x/y"])
def test_an_address_that_is_none_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(Refused) as refusal:
        open_database(address, JUNWEI)
    assert address not in str(refusal.value)


def test_a_database_without_the_tables_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="none of the schema"):
        open_database(url, JUNWEI)
    with pytest.raises(Refused, match="no such table"):
        list(open_database(url, JUNWEI, Options(table="DEPT_DICT"))[0].rows())


def test_a_refused_insert_writes_nothing(url: str) -> None:
    write_database(ROWS[:1], PATIENTS, url, create=True)
    with pytest.raises(Refused, match="none is written"):
        write_database(reversed(ROWS), PATIENTS, url)
    with pytest.raises(Refused, match="no date"):
        write_database([{"PATIENT_ID": "9", "DATE_OF_BIRTH": "unknown"}], PATIENTS, url)

    assert trees(Query(url, PATIENTS)) == ROWS[:1]


def test_definitions_for_a_database_have_the_key_and_the_types() -> None:
    table = sql_table(JUNWEI["OUTP_BILL_ITEMS"], sa.MetaData())

    assert [column.name for column in table.primary_key] == ["VISIT_DATE", "VISIT_NO", "RCPT_NO", "ITEM_NO"]
    assert isinstance(table.c.AMOUNT.type, sa.Numeric)
    assert isinstance(table.c.VISIT_DATE.type, sa.Date)
