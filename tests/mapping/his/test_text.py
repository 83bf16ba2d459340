"""Encodings of extracts: found out, mixed line by line, and text that went through Latin letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.his.text import Encoding, decode, detect, is_twice, named, undo

HEADER = "姓名,性别,住址\n"
ROWS = HEADER + "张三,男,北京市海淀区中关村大街1号\n李四,女,上海市浦东新区\n"
han = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=4, max_size=40)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (ROWS.encode("gb18030"), "gb18030"),
        (ROWS.encode("utf-8"), "utf-8"),
        (ROWS.encode("utf-8-sig"), "utf-8-sig"),
        ("\ufeff".encode("utf-16-le") + ROWS.encode("utf-16-le"), "utf-16-le"),
        ("\ufeff".encode("utf-16-be") + ROWS.encode("utf-16-be"), "utf-16-be"),
        ("a,b,c\n1,2,3\n".encode("utf-16-le"), "utf-16-le"),
        ("a,b,c\n1,2,3\n".encode("utf-16-be"), "utf-16-be"),
        (b"a,b\n1,2\n", "utf-8"),
        ("男\n".encode("gb18030"), "gb18030"),
        (b"", "utf-8"),
    ],
)
def test_each_encoding_is_found_out(data: bytes, name: str) -> None:
    assert detect(data).name == name


def test_a_sample_that_ends_within_a_letter_is_still_utf_8() -> None:
    assert detect(ROWS.encode()[:-7]).codec == "utf-8"
    assert detect("张".encode()[:2]).codec == "utf-8"


def test_one_line_of_gbk_does_not_turn_a_utf_8_file_nor_the_other_way_round() -> None:
    gbk = "王五,男,广州\n".encode("gb18030")

    assert detect(ROWS.encode() + gbk).codec == "utf-8"
    assert detect(gbk * 3 + "赵六,女,深圳\n".encode()).codec == "gb18030"


@given(han)
def test_lines_of_the_other_encoding_are_read_as_what_they_are(text: str) -> None:
    assert decode(text.encode("gb18030"), Encoding("utf-8")) == text or _is_utf_8(text.encode("gb18030"))
    assert decode(text.encode(), Encoding("gb18030")) == text


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_gbk_pairs_that_look_like_utf_8_of_two_bytes_stay_gbk() -> None:
    assert decode("联通".encode("gb18030"), Encoding("gb18030")) == "联通"


def test_bytes_of_no_known_encoding_give_nothing() -> None:
    assert decode(b"\xff\xff\xff", Encoding("utf-8")) is None
    assert decode(b"\xff\xff", Encoding("gb18030")) is None


@given(han)
def test_gbk_that_came_as_one_latin_letter_per_byte_is_put_together(text: str) -> None:
    latin = text.encode("gb18030").decode("latin-1")

    assert undo(latin) == text
    assert is_twice(latin)
    assert not is_twice(text)


def test_a_client_that_took_the_bytes_for_windows_1252_is_undone_too() -> None:
    bytes_ = "岍".encode("gb18030")  # 8D 46... has a byte that Windows-1252 turns into another letter
    shown = bytes_.decode("latin-1").replace("\x80", "€")

    assert undo(shown) == "岍"


def test_a_file_of_us7ascii_text_is_recognised_and_undone() -> None:
    data = ROWS.encode("gb18030").decode("latin-1").encode("utf-8")
    found = detect(data)

    assert found.name == "utf-8+gb18030"
    assert decode(data, found) == ROWS


def test_western_names_are_not_taken_for_gbk() -> None:
    assert not is_twice("Müller, Café, Señor, naïve")
    assert not is_twice("plain")
    assert detect("Name\nMüller\nJosé\n".encode()).name == "utf-8"


def test_a_named_encoding_is_taken_and_gbk_means_its_superset() -> None:
    assert named("GBK").codec == "gb18030"
    assert named("gb2312").codec == "gb18030"
    assert named("utf-8-sig").codec == "utf-8"
    assert named("utf-8+gb18030").is_twice
    with pytest.raises(LookupError):
        named("klingon")
