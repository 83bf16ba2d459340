"""Text extracts: dialects, damage passed over with line and byte, positions to go on from, flat memory."""

from __future__ import annotations

import csv
import gzip
import io
import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.engine.model import Refused
from mappings.his import lines
from mappings.his.delimited import Delimited
from mappings.his.dialect import Dialect
from mappings.his.opening import Options, open_folder, open_place
from mappings.his.places import File, Stream
from mappings.his.rows import NULLS, Bad, Row
from mappings.his.tables import schema
from mappings.his.text import named

JUNWEI = schema("junwei")
HEADER = "DEPT_CODE,DEPT_NAME,DEPT_ALIAS"


def source(data: bytes, name: str = "DEPT_DICT.csv", **options: object) -> Delimited:
    definition = JUNWEI["DEPT_DICT"]
    return Delimited(Stream(io.BytesIO(data), name), definition, **options)  # type: ignore[arg-type]


def read(data: bytes, **options: object) -> list[Row | Bad]:
    return list(source(data, **options).rows())


def trees(data: bytes, **options: object) -> list[dict[str, str]]:
    found = read(data, **options)
    assert all(isinstance(row, Row) for row in found), found
    return [row.tree for row in found if isinstance(row, Row)]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", "|", ";", "\x01"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_delimiter_and_line_end_gives_the_same_rows(
    codec: str, delimiter: str, end: str
) -> None:
    lines = [HEADER, "01,内科,内", "02,外科,", "03,妇产科,妇"]
    data = end.join([*lines, ""]).replace(",", delimiter).encode(codec)

    assert trees(data) == [
        {"DEPT_CODE": "01", "DEPT_NAME": "内科", "DEPT_ALIAS": "内"},
        {"DEPT_CODE": "02", "DEPT_NAME": "外科"},
        {"DEPT_CODE": "03", "DEPT_NAME": "妇产科", "DEPT_ALIAS": "妇"},
    ]


def test_a_header_in_chinese_or_small_letters_means_the_same_columns() -> None:
    expected = [{"DEPT_CODE": "01", "DEPT_NAME": "内科"}]

    assert trees("科室代码,科室名称\n01,内科\n".encode("gb18030")) == expected
    assert trees(" dept_code ,Dept_Name\n01,内科\n".encode()) == expected


def test_null_words_empty_cells_and_padding_are_absent() -> None:
    assert trees(f"{HEADER}\n01,NULL,\\N\n02,  ,内   \n".encode()) == [
        {"DEPT_CODE": "01"},
        {"DEPT_CODE": "02", "DEPT_ALIAS": "内"},
    ]


def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends() -> None:
    data = f'{HEADER}\n01,"内科,一""病区""",\n02,"外\n科",外\n'.encode("gb18030")

    assert trees(data) == [
        {"DEPT_CODE": "01", "DEPT_NAME": '内科,一"病区"'},
        {"DEPT_CODE": "02", "DEPT_NAME": "外\n科", "DEPT_ALIAS": "外"},
    ]


def test_damaged_records_are_reported_with_line_and_byte_and_the_rest_goes_on() -> None:
    good = "01,内科,内\n".encode("gb18030")
    start = f"{HEADER}\n".encode() + good
    bad = [b"02,a,b,c,d\n", b"03,a\n", b"04,\x00,x\n", b'05,"open,x\n', b"06,\xff\xff\xff,x\n"]
    found = read(start + b"".join(bad) + good)

    assert [type(row) for row in found] == [Row, Bad, Bad, Bad, Bad, Bad, Row]
    offset = len(start)
    for line, (issue, data) in enumerate(zip(found[1:-1], bad, strict=True), 3):
        assert isinstance(issue, Bad)
        assert issue.where == f"DEPT_DICT.csv:{line} (byte {offset})"
        assert issue.raw == data[:-1]
        offset += len(data)
    sentences = [issue.sentence for issue in found if isinstance(issue, Bad)]
    assert "5 columns, more than" in sentences[0]
    assert "fewer" in sentences[1]
    assert "zero bytes" in sentences[2]
    assert "quote" in sentences[3]
    assert "encoding" in sentences[4]


def test_a_stray_quote_swallows_no_later_row() -> None:
    rows = "".join(f"{number:02},科室{number},\n" for number in range(50))
    found = read(f'{HEADER}\n99,"坏,x\n{rows}'.encode("gb18030"))

    assert isinstance(found[0], Bad)
    assert len([row for row in found if isinstance(row, Row)]) == 50


def test_an_inch_sign_in_a_cell_is_no_quote() -> None:
    assert trees(f'{HEADER}\n01,5" 绷带,x\n02,b,y\n'.encode()) == [
        {"DEPT_CODE": "01", "DEPT_NAME": '5" 绷带', "DEPT_ALIAS": "x"},
        {"DEPT_CODE": "02", "DEPT_NAME": "b", "DEPT_ALIAS": "y"},
    ]


def test_a_number_that_a_spreadsheet_rounded_is_left_out_with_a_warning() -> None:
    definition = JUNWEI["PAT_MASTER_INDEX"]
    data = "PATIENT_ID,NAME,ID_NO\n1,张三,4.20106E+17\n".encode()
    warning, row = list(Delimited(Stream(io.BytesIO(data), "x.csv"), definition).rows())

    assert isinstance(warning, Bad)
    assert warning.severity == "warning"
    assert "ID_NO" in warning.sentence
    assert "4.2" not in warning.sentence
    assert isinstance(row, Row)
    assert row.tree == {"PATIENT_ID": "1", "NAME": "张三"}


@pytest.mark.parametrize("name", ["DEPT_DICT.csv", "DEPT_DICT.csv.gz", "all.zip"])
def test_a_run_goes_on_after_any_row(tmp_path: Path, name: str) -> None:
    text = HEADER + "\n" + "".join(f'{n:03},"科室\n{n}",\n' if n % 3 else f"{n:03},坏\n" for n in range(40))
    data = text.encode("gb18030")
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(data))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("DEPT_DICT.csv", data)
    else:
        path.write_bytes(data)
    [table] = open_place(File(path), JUNWEI)
    every = list(table.rows())

    assert len(every) == 40
    for at, row in enumerate(every):
        rest = list(table.rows(after=row.position.text))
        assert [(type(r), r.where) for r in rest] == [(type(r), r.where) for r in every[at + 1 :]]


def test_a_position_of_another_extract_or_none_at_all_is_refused() -> None:
    token = read(f"{HEADER}\n01,a,b\n".encode())[0].position.text
    other = source(b"DEPT_CODE,DEPT_NAME\n01,a\n")

    for wrong in (token, "nonsense", "[]", "{}"):
        with pytest.raises(Refused, match="start from the beginning"):
            list(other.rows(after=wrong))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"  \n \n", "empty"),
        (b"DEPT_CODE,dept_code\n1,2\n", "twice"),
        (b"01,2024,3\n02,2024,4\n", "names no columns"),
    ],
)
def test_a_file_without_usable_header_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        read(data)


def test_names_said_by_the_user_stand_for_a_missing_header() -> None:
    assert trees("01,内科\n".encode(), header=("DEPT_CODE", "DEPT_NAME")) == [
        {"DEPT_CODE": "01", "DEPT_NAME": "内科"}
    ]


def test_a_compressed_file_cut_off_gives_its_rows_and_then_a_refusal(tmp_path: Path) -> None:
    rng = random.Random(5)
    lines = [f"{n},{rng.random()},x" for n in range(40_000)]
    path = tmp_path / "DEPT_DICT.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *lines, ""]).encode())[:-50_000])
    [table] = open_place(File(path), JUNWEI)
    found: list[Row | Bad] = []
    with pytest.raises(Refused, match="cut off"):
        found.extend(table.rows())
    assert len(found) > 1_000


def test_a_file_without_line_ends_is_refused_before_memory_runs_out() -> None:
    with pytest.raises(Refused, match="longer than"):
        read(HEADER.encode() + b"\n" + b"x" * (6 << 20))


def test_standard_input_is_read_once() -> None:
    class Once(io.BytesIO):
        def seekable(self) -> bool:
            return False

    stream = Stream(Once(f"{HEADER}\n01,a,b\n".encode()), "DEPT_DICT.csv")
    [table] = open_place(stream, JUNWEI)

    assert [row.tree["DEPT_CODE"] for row in table.rows() if isinstance(row, Row)] == ["01"]
    with pytest.raises(Refused, match="once"):
        list(table.rows())


def test_memory_stays_flat_over_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 1 << 14)
    path = tmp_path / "DEPT_DICT.csv"

    def peak(rows: int) -> int:
        with path.open("w", encoding="gb18030") as file:
            file.write(HEADER + "\n")
            file.writelines(f"{n:08},科室名称,别名\n" for n in range(rows))
        [table] = open_place(File(path), JUNWEI)
        tracemalloc.start()
        assert sum(1 for _ in table.rows()) == rows
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    # Both are several blocks long; four times the rows must not need more.
    assert peak(16_000) < 1.2 * peak(4_000)


cells = st.text(
    st.characters(codec="gb18030", exclude_categories=["Cs", "Cc"], exclude_characters="\x00"), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(cells, cells, cells), max_size=20),
    st.sampled_from(["gb18030", "utf-8-sig", "utf-16-le"]),
)
def test_whatever_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str, str]], codec: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["A", "B", "C"])
    writer.writerows(rows)
    table = Delimited(
        Stream(io.BytesIO(buffer.getvalue().encode(codec)), "x.csv"),
        encoding=named(codec),
        dialect=Dialect(","),
        header=("A", "B", "C"),
    )
    found = [row.tree for row in table.rows() if isinstance(row, Row)]

    expected = [
        {
            name: cell.rstrip()
            for name, cell in zip("ABC", row, strict=True)
            if cell.rstrip() and cell.rstrip() not in NULLS
        }
        for row in [("A", "B", "C"), *rows]
    ]
    assert found == expected


def test_a_table_is_known_by_its_file_or_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "his.PAT_MASTER_INDEX.csv").write_text("PATIENT_ID,NAME\n1,a\n", encoding="utf-8")
    (tmp_path / "DIAGNOSIS_20240105.txt").write_text(
        "PATIENT_ID|VISIT_ID|DIAGNOSIS_DESC\n1|1|x\n", encoding="utf-8"
    )
    (tmp_path / "extract.csv").write_text(
        "TEST_NO,REPORT_ITEM_NAME,RESULT,UNITS\n1,a,2,g\n", encoding="utf-8"
    )
    (tmp_path / "notes.md").write_text("not a table", encoding="utf-8")

    assert [table.table for table in open_folder(tmp_path, JUNWEI)] == [
        "PAT_MASTER_INDEX",
        "DIAGNOSIS",
        "LAB_RESULT",
    ]


@pytest.mark.parametrize(
    ("name", "data", "options", "says"),
    [
        ("old.xls", b"\xd0\xcf", Options(), "xlsx"),
        ("a.pdf", b"%PDF", Options(), "Files that are read"),
        ("a.csv", b"X,Y\n1,2\n", Options(), "Which table"),
        ("a.csv", b"X,Y\n1,2\n", Options(table="NONE"), "No table of the schema"),
        ("a.csv", b"X,Y\n1,2\n", Options(table="DEPT_DICT", encoding="klingon"), "encoding"),
        ("a.csv", b"X,Y\n1,2\n", Options(table="DEPT_DICT", delimiter="x"), "delimiter"),
        ("a.zip", b"PK no", Options(), "ZIP"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_advice(
    name: str, data: bytes, options: Options, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        open_place(Stream(io.BytesIO(data), name), JUNWEI, options)


def test_a_missing_file_is_refused_without_its_folders(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be opened") as refusal:
        open_place(File(tmp_path / "secret" / "DEPT_DICT.csv"), JUNWEI)
    assert "secret" not in str(refusal.value)


def test_an_archive_of_tables_is_given_in_loading_order(tmp_path: Path) -> None:
    path = tmp_path / "extract.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("LAB_RESULT.csv", "TEST_NO,ITEM_NO,RESULT\n1,1,2\n")
        archive.writestr("DEPT_DICT.csv", f"{HEADER}\n01,a,b\n")
        archive.writestr("__MACOSX/junk", "x")

    assert [table.table for table in open_place(File(path), JUNWEI)] == ["DEPT_DICT", "LAB_RESULT"]
