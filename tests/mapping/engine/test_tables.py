"""Code tables, their publication, reports, and batches of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from fhir_server.validation import errors
from mappings.engine.batches import convert
from mappings.engine.codes import code_system, concept_map, read_tsv, table_of, value_set
from mappings.engine.common import common_tables
from mappings.engine.format import MapFormat
from mappings.engine.model import Issue, Map, Message, Unmapped
from mappings.engine.r4b import validate
from mappings.engine.report import MOST_ISSUES, Report
from mappings.engine.systems import common, for_source
from tests.mapping.engine.demo import CONTEXT, enrolment, enrolment_message, message, small

TABLE = table_of(
    "demo", {"system": "{base}/CodeSystem/demo", "title": {"en": "Demo", "zh": "示例"},
             "display": {"1": "一", "2": "二", "3": ""},
             "target": "http://x", "map": {"1": "a", "2": "a", "3": "b"}},
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in common_tables() if common_tables()[name].system])
def test_a_table_is_published_as_valid_resources(name: str) -> None:
    table = common_tables()[name]
    made = [code_system(table), value_set(table), *filter(None, [concept_map(table)])]

    assert [problem for resource in made for problem in (*validate(resource), *errors(resource))] == []
    assert made[0]["count"] == len(made[0]["concept"]) == len(table.natives)
    assert made[1]["compose"]["include"] == [{"system": table.system}]


def test_codes_that_share_a_meaning_are_wider_there() -> None:
    made = concept_map(TABLE)

    assert made is not None
    assert [one["target"][0]["equivalence"] for one in made["group"][0]["element"]] == [
        "wider",
        "wider",
        "equivalent",
    ]
    assert code_system(TABLE)["concept"][2] == {"code": "3"}
    assert made["url"].endswith("/ConceptMap/demo")


def test_a_table_without_fhir_codes_has_no_concept_map() -> None:
    assert concept_map(table_of("t", {"system": "http://t", "display": {"1": "x"}})) is None


@pytest.mark.parametrize(
    "data",
    [{}, {"map": "x"}, {"display": {"1": "x"}, "systme": "x"}, {"map": {"1": "x"}, "system": "nobody"}],
)
def test_what_is_no_table_is_refused(data: Mapping[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        table_of("t", data)


def test_a_table_is_read_of_lines(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("# comment\n01\t甲\n02\t\n\n", encoding="utf-8")

    assert read_tsv(tmp_path / "t.tsv", "t", "http://t").display == {"01": "甲", "02": ""}


def test_the_senders_name_is_safe_in_an_address() -> None:
    assert for_source("{base}/x", "a") == "{base}/x"
    assert for_source("https://x/{source}/y", "a b/医") == "https://x/a%20b%2F%E5%8C%BB/y"


def test_no_two_names_mean_the_same_address() -> None:
    for addresses in (common().systems, common().extensions):
        assert len(set(addresses.values())) == len(addresses)
        assert not any("{base}" in address for address in addresses.values())


def test_a_report_counts_what_it_no_longer_keeps() -> None:
    report = Report(messages=2, bundles=1, resources=5)
    report.add(
        [Issue("warning", "value", "a", "b.")] * (MOST_ISSUES + 5), [Unmapped("x", 2), Unmapped("x", 1)]
    )

    lines = list(report.lines())
    assert len(lines) == MOST_ISSUES + 3
    assert lines[-3:] == [
        "… and 5 more.", "unmapped: x (3 times): kept in the archived original only",
        f"2 messages, 1 Bundle, 5 resources; {MOST_ISSUES + 5} warnings",
    ]  # fmt: skip
    assert not report.failed
    report.add([Issue("error", "value", "a", "b.")])
    assert report.failed
    assert report.tree()["counts"] == {"warning": MOST_ISSUES + 5, "error": 1}


class Given(MapFormat):
    """A format of maps that are given."""

    def __init__(self, *maps: Map) -> None:
        super().__init__("given", Path())
        self.given = maps

    def maps(self, overlays: Sequence[str] = ()) -> Sequence[Map]:
        """List the maps, whatever the overlays."""
        assert not overlays
        return self.given

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield nothing: messages are given too."""
        assert not source
        assert not options
        yield from ()

    def check(self, message: Message) -> Sequence[Issue]:
        """Warn of one message."""
        return (
            [Issue("warning", "invariant", message.where, "It does not add up.")]
            if "odd" in message.tree.get("baseinfo", {})
            else []
        )


def test_messages_come_one_by_one_and_rows_by_the_batch() -> None:
    rows = small("{from: a, to: gender}", per="row")
    format_ = Given(enrolment(), rows)
    found = [message(no=str(n)) for n in range(5)] + [enrolment_message(), enrolment_message()]

    pieces = list(convert(format_, found, CONTEXT, rows=2))
    assert [len(piece.messages) for piece in pieces] == [2, 2, 1, 1, 1]
    assert [piece.map is rows for piece in pieces] == [True, True, True, False, False]


def test_what_no_map_knows_and_what_cannot_be_read_are_issues_and_the_rest_goes_on() -> None:
    broken = Issue("error", "structure", "file:2", "This cannot be read.")
    strange = Message("9999", {}, where="file:3", direction="request")
    found = [enrolment_message(), broken, strange, enrolment_message(odd="1"), broken]

    pieces = list(convert(Given(enrolment()), found, CONTEXT))
    assert [[issue.where for issue in piece.issues] for piece in pieces] == [
        [],
        ["file:2", "file:3", "file:1"],
        ["file:2"],
    ]
    assert pieces[1].issues[1].sentence == "given has no map for '9999 request'."
    assert pieces[1].result is not None
    assert pieces[2].result is None
