"""A map file is checked as a whole; every mistake is told with its line and column."""

from __future__ import annotations

import pytest

from mappings.engine.model import Refused
from mappings.engine.schema import parse
from mappings.engine.yamltree import read
from tests.mapping.engine.demo import ENROLMENT, enrolment, small


def mistakes(text: str) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        parse(text, "demo.yaml")
    return [(issue.where, issue.sentence) for issue in caught.value.issues]


def test_the_worked_example_of_the_page_is_a_map() -> None:
    map_ = enrolment()

    assert (map_.name, map_.kind, map_.direction, map_.per) == (
        "demo-enrolment",
        "1101",
        "response",
        "message",
    )
    assert [target.id for target in map_.targets] == ["patient", "coverage", "agency"]
    assert map_.ignored == {"baseinfo.age": "derived from the birth date"}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("to: birthDate", "to: birth-Date", "cannot be read at '-Date'"),
        ("system=cn-id]", "system=cn-idd]", "'cn-idd' is no known system"),
        ("extension('gender-gb')", "extension('gender-xy')", "'gender-xy' is no known extension"),
        ("convert: gender", "convert: gendre", "'gendre' is no converter"),
        ("convert: money", "convert: {money: {curency: CNY}}", "The option 'curency' is not known here"),
        ("codes: demo-status", "codes: demo-stat", "'demo-stat' is no code table"),
        ("link: patient", "link: patent", "No resource of this map is called 'patent'"),
        ("by: update", "by: upsert", "One of update, create, refer, logical is expected here"),
        ("ignore:\n  baseinfo.age: derived from the birth date", "ignore:\n  baseinfo.age: ''", "Say why"),
        ("for-each: insuinfo         #", "foreach: insuinfo #", "The key 'foreach' is not known here"),
        ("as: coding", "as: codeing", "One of code, coding, concept is expected here"),
        ("active: true", "active: true\n      active: false", "The key 'active' is there twice"),
        (
            "when: {insuinfo.insutype: [310, 390]}",
            "when: {insuinfo.insutype: {like: 3}}",
            "A condition is a value",
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(old: str, new: str, sentence: str) -> None:
    assert old in ENROLMENT
    changed = ENROLMENT.replace(old, new, 1)
    line = ENROLMENT[: ENROLMENT.index(old)].count("\n") + 1

    found = mistakes(changed)

    where, told = next((where, told) for where, told in found if sentence in told)
    file, number, column = where.split(":")
    assert file == "demo.yaml"
    assert abs(int(number) - line) <= new.count("\n") + 1
    assert int(column) > 0
    assert told.endswith((".", ")"))


def test_all_mistakes_are_told_at_once() -> None:
    changed = ENROLMENT.replace("convert: gender", "convert: gendre").replace("to: birthDate", "to: 'a..b'")

    assert len(mistakes(changed)) == 2


def test_one_way_needs_its_reason_and_a_joined_pair_its_converter() -> None:
    with pytest.raises(Refused, match="Say why this goes one way only"):
        small("{from: a, to: gender, one-way: {read: ''}}")
    with pytest.raises(Refused, match="Several source fields need a converter"):
        small("{from: [a, b], to: gender}")
    with pytest.raises(Refused, match="needs a list of source fields"):
        small("{from: a, to: gender, convert: join}")
    assert small("{from: [a, b], to: gender, convert: join}").targets


def test_a_table_has_no_blocks_to_repeat_for() -> None:
    assert any(
        "no blocks to repeat for" in told
        for _, told in mistakes(ENROLMENT.replace("per: message", "per: row"))
    )


def test_a_link_to_a_row_of_another_block_is_refused() -> None:
    other = (
        "  - id: row\n    type: Basic\n    for-each: rows\n    identity: [{system: other, from: rows.no}]\n"
    )
    with pytest.raises(Refused, match="made once per rows"):
        small("{to: 'link[0].other', link: row}", other)


def test_a_map_that_writes_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="at least one must be by update or create"):
        parse(
            ENROLMENT.replace("by: update", "by: refer").replace(
                "type: Coverage", "type: Coverage\n    by: refer"
            )
        )


@pytest.mark.parametrize(
    "text", ["", "a: [", "- a", "map: x", "a: &x [*x]", "\t", "? [a]\n: b", "a: 1\n---\nb: 2"]
)
def test_what_is_no_map_is_refused_with_a_place(text: str) -> None:
    assert all(where.startswith("demo.yaml:") for where, _ in mistakes(text))


def test_aliases_cannot_make_a_small_file_mean_billions_of_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert "means more than" in mistakes("\n".join(lines))[0][1]


def test_scalars_keep_their_leading_zeros_and_their_digits() -> None:
    spot = read("{a: 01, b: 1, c: 1.50, d: true, e: '1', f: null, g: no}", "x")

    assert spot.data == {"a": "01", "b": 1, "c": spot.data["c"], "d": True, "e": "1", "f": None, "g": "no"}
    assert str(spot.data["c"]) == "1.50"
    assert spot.texts["b"] == "1"
