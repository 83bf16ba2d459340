"""Each primitive type: what it takes and what it does not. https://hl7.org/fhir/R4/datatypes.html#primitive"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.resources.types import PRIMITIVES
from fhir_server.validation import primitives
from fhir_server.validation.primitives import CHECKS, problem
from tests.strategies import PRIMITIVE

GOOD: dict[str, list[Any]] = {
    "base64Binary": ["AA==", "aGVs\nbG8=", " AAAA "],
    "boolean": [True, False],
    "canonical": ["http://x|1", "#a"],
    "code": ["a", "a b", "a\tb"],
    "date": ["2024", "2024-02", "2024-02-29", "0001-01-01"],
    "dateTime": ["2024", "2024-02-29", "2024-02-29T23:59:60Z", "2024-02-29T00:00:00.123456+14:00"],
    "decimal": [0, -1, 10**40, Decimal("1.10"), Decimal("1E+400")],
    "id": ["a", "A-1.b", "x" * 64],
    "instant": ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.1-13:59"],
    "integer": [-(2**31), 0, 2**31 - 1],
    "markdown": ["# x\n\n* y"],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.0"],
    "positiveInt": [1, 2**31 - 1],
    "string": [" a ", "王\u3000五", "a\r\n\tb", "x" * 1048576],
    "time": ["00:00:00", "23:59:60.5"],
    "unsignedInt": [0],
    "uri": ["http://x", "urn:x", "x"],
    "url": ["https://x"],
    "uuid": ["urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"],
    "xhtml": ['<div xmlns="http://www.w3.org/1999/xhtml">x</div>'],
}
BAD: dict[str, list[Any]] = {
    "base64Binary": ["", " ", "AAA", "A===", "AA=A", "A*AA", "\u00e4AAA"],
    "boolean": ["true", 1, 0],
    "canonical": ["", "a b"],
    "code": ["", " a", "a ", "a  b", "\u00a0"],
    "date": ["0000", "24", "2024-2", "2023-02-29", "2024-13", "2024-01-01T00:00:00Z", "2024-01-01\n"],
    "dateTime": [
        "2024-02-29T00:00",
        "2024-02-29T24:00:00Z",
        "2024-02-30",
        "2024-02-29T00:00:00",
        "2024T00:00:00Z",
    ],
    "decimal": [True, "1", Decimal("NaN"), Decimal("Infinity"), 1.5],
    "id": ["", "a_b", "x" * 65, "a/b", "\u00e4", "a\n"],
    "instant": ["2024", "2024-02-29", "2024-02-30T00:00:00Z", "2024-02-29T00:00:00"],
    "integer": [2**31, -(2**31) - 1, True, "1", Decimal(1)],
    "markdown": ["", " \n"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02"],
    "positiveInt": [0, -1, True],
    "string": ["", " ", "\u3000", "a\x00", "a\x0b", "\ud800", "\uffff", "x" * 1048577],
    "time": ["24:00:00", "00:00", "00:00:00Z"],
    "unsignedInt": [-1, True],
    "uri": ["", "a b", "a\u3000b"],
    "url": ["", "a b"],
    "uuid": ["urn:uuid:53FEFA32-fcbb-4ff8-8a92-55ee120877b7", "53fefa32-fcbb-4ff8-8a92-55ee120877b7"],
    "xhtml": ["x", "<div>x</div>", ""],
}


def test_table_names_every_primitive() -> None:
    assert set(GOOD) == set(BAD) == set(CHECKS) == PRIMITIVES


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_takes_what_the_type_allows(name: str) -> None:
    # Twice, because what passed once is remembered.
    for value in GOOD[name] * 2:
        assert problem(name, value) is None, repr(value)[:80]


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_refuses_what_the_type_does_not_allow(name: str) -> None:
    for value in [*BAD[name], None, [], {}, ["a"]] * 2:
        assert problem(name, value) is not None, repr(value)[:80]


@given(st.data(), st.sampled_from(sorted(PRIMITIVES - {"xhtml"})))
def test_takes_every_value_that_the_strategies_make(data: st.DataObject, name: str) -> None:
    value = data.draw(PRIMITIVE[name])

    assert CHECKS[name](value)


@given(st.text())
def test_text_says_the_same_a_second_time(text: str) -> None:
    for name in sorted(primitives.KNOWN):
        assert CHECKS[name](text) is CHECKS[name](text)


def test_memory_of_good_values_stays_bounded() -> None:
    for number in range(20_000):
        assert CHECKS["id"](f"bounded-{number}")

    assert len(primitives.KNOWN["id"]) <= 8192
