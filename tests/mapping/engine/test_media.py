"""Media types of what formats read and write, and the options that a stranger may give them."""

from __future__ import annotations

import pytest

from mappings import formats
from mappings.engine.model import Message, Refused
from mappings.engine.support import quoted
from mappings.media import MEDIA_TYPES, UNKNOWN, media_type, suffix

OPENERS = {"database", "owner", "after", "where"}
"""Options that name what is opened, or go on where somebody else stopped."""
BUILT_IN = [name for name in formats.names() if name != formats.USER]


@pytest.mark.parametrize("ending", MEDIA_TYPES)
def test_a_file_has_the_media_type_whose_ending_it_has(ending: str) -> None:
    assert suffix(media_type(f"extract{ending.upper()}")) == ending
    assert media_type(f"extract{ending}.gz") == media_type(f"extract{ending}")


def test_another_ending_tells_nothing() -> None:
    assert media_type("extract.exe") == media_type("extract") == UNKNOWN
    assert suffix(UNKNOWN) == ""


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_option_of_a_stranger_opens_anything(name: str) -> None:
    options = formats.get(name).options

    assert "kind" in options
    assert not options & OPENERS


def test_what_is_written_has_the_media_type_of_its_kind() -> None:
    nhsa, junwei = formats.get("nhsa"), formats.get("junwei")
    answer, row = Message("2207", {}, direction="response"), Message("1301", {})

    assert nhsa.media_type([answer]) == "application/json"
    assert nhsa.media_type([answer, answer]) == "application/x-ndjson"
    assert nhsa.media_type([row]) == "text/tab-separated-values"
    assert junwei.media_type([row], {"encoding": "gb18030"}) == "text/csv; charset=gb18030"
    assert junwei.media_type([row], {"as": "workbook"}) == MEDIA_TYPES[".xlsx"]


def test_a_code_is_quoted_and_what_may_be_a_name_is_not() -> None:
    assert quoted("310") == "'310'"
    assert quoted("A03.04") == "'A03.04'"
    for value in ("张三", "110101199003071234", "Zhang San", "13800000000"):
        assert value not in quoted(value)


def test_a_torn_header_is_refused_not_an_error() -> None:
    with pytest.raises(Refused, match="no row of columns"):
        list(formats.get("junwei").split(b"PATIENT_ID,NA\rME\n1,2\n", {"table": "PAT_MASTER_INDEX"}))
