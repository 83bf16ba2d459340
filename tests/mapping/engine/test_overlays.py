"""Overlays change a map where a province does otherwise, and nothing else; formats find maps by kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.engine import overlay
from mappings.engine.format import MapFormat
from mappings.engine.model import Message, Pair, Refused
from mappings.engine.run import read
from mappings.engine.schema import parse
from tests.mapping.engine.demo import CONTEXT, ENROLMENT, PAGE, enrolment_message

EXAMPLE = (
    PAGE.read_text(encoding="utf-8").partition("## Overlays")[2].partition("```yaml\n")[2].partition("```")[0]
)


def overlaid(text: str) -> object:
    return parse(ENROLMENT, "demo.yaml", None, [overlay.parse(text, "over.yaml")])


def resource(text: str) -> str:
    return f"overlay: o\nmaps:\n  demo-enrolment:\n    resources:\n      coverage:\n        {text}\n"


def test_the_example_of_the_page_changes_one_pair() -> None:
    before, after = (
        parse(ENROLMENT),
        parse(ENROLMENT, "demo.yaml", None, [overlay.parse(EXAMPLE, "over.yaml")]),
    )
    sent = enrolment_message()
    sent.tree["insuinfo"][0]["psn_insu_date"] = "20190701"

    assert len(after.targets[1].fields) == len(before.targets[1].fields)
    assert after.targets[0].fields[0].at.file == "demo.yaml"
    assert after.targets[1].fields[0].at.file == "over.yaml"
    assert read(after, sent, CONTEXT).bundle["entry"][1]["resource"]["period"] == {"start": "2019-07-01"}


def test_an_overlay_that_does_not_speak_of_the_map_leaves_it() -> None:
    other = overlay.parse("overlay: o\nmaps: {another: {}}")

    with_it, without = parse(ENROLMENT, "demo.yaml", None, [other]), parse(ENROLMENT, "demo.yaml")
    message = enrolment_message()
    assert read(with_it, message, CONTEXT) == read(without, message, CONTEXT)


def test_constants_codes_and_reasons_are_joined_and_new_resources_added() -> None:
    text = """
overlay: o
maps:
  demo-enrolment:
    ignore: {baseinfo.naty: not ours}
    codes: {mine: {map: {a: b}}}
    resources:
      patient: {constants: {language: zh}}
      extra: {type: Basic, identity: [{system: demo-person, from: baseinfo.extra}], fields: []}
"""
    map_ = parse(ENROLMENT, "demo.yaml", None, [overlay.parse(text)])

    assert set(map_.ignored) == {"baseinfo.age", "baseinfo.naty"}
    assert map_.tables is not None
    assert {"mine", "demo-status"} <= set(map_.tables)
    assert dict(map_.targets[0].constants) == {"active": True, "language": "zh"}
    assert [target.id for target in map_.targets] == ["patient", "coverage", "agency", "extra"]


def test_what_is_dropped_is_gone_and_what_is_not_there_cannot_be_dropped() -> None:
    map_ = parse(ENROLMENT, "demo.yaml", None, [overlay.parse(resource("drop: [status]"))])
    assert not any(isinstance(item, Pair) and item.to == "status" for item in map_.targets[1].fields)

    with pytest.raises(Refused, match="no field 'statos' to drop"):
        overlaid(resource("drop: [statos]"))


@pytest.mark.parametrize("text", ["overlay: o", "maps: {}", "overlay: o\nmaps: []",
                                  "overlay: o\nmaps: {a: {nam: x}}",
                                  "overlay: o\nmaps: {}\nother: 1", "- x"])  # fmt: skip
def test_what_is_no_overlay_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        overlay.parse(text)


def test_a_mistake_in_an_overlay_is_told_in_its_file() -> None:
    with pytest.raises(Refused, match=r"over\.yaml:6:\d+: 'nowhere' is no known system"):
        overlaid(resource("fields: [{from: insuinfo.x, to: 'identifier[system=nowhere].value'}]"))


def format_in(folder: Path) -> MapFormat:
    (folder / "over").mkdir()
    (folder / "one.yaml").write_text(ENROLMENT, encoding="utf-8")
    (folder / "over" / "o.yaml").write_text(EXAMPLE, encoding="utf-8")
    return MapFormat("demo", folder, None, folder / "over")


def test_a_format_finds_the_map_of_a_kind_and_direction(tmp_path: Path) -> None:
    format_ = format_in(tmp_path)

    found = format_.map_for(Message("1101", {}, direction="response"))
    assert found is not None
    assert found is format_.map_for(Message("1101", {}, direction="response"))
    assert format_.map_for(Message("1101", {}, direction="request")) is None
    assert format_.map_for(Message("1101", {}, direction="response"), ("example",)) is not found


def test_an_overlay_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no overlay 'x'.*there are: example"):
        format_in(tmp_path).maps(("x",))
