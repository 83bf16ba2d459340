"""How Chinese names sound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.extract import Extractor
from fhir_server.search.sounds import is_chinese, sounds, spoken
from tests.unit.search.asking import ZONE

NAMES = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("张伟", {"zhangwei", "zw"}),
        ("单雄信", {"shanxiongxin", "danxiongxin", "sxx", "dxx"}),
        ("曾国藩", {"zengguofan", "cengguofan", "zgf"}),
        ("吕布", {"lvbu", "lubu", "lyubu", "lb"}),
        ("仇", {"qiu", "chou"}),
        ("欧阳 娜娜", {"ouyangnana", "oynn"}),
        ("买买提·阿凡提", {"maimaitiafanti", "mmtaft"}),
        ("王Peter", {"wangpeter", "wpeter"}),
    ],
)
def test_a_name_is_heard_in_every_reading_and_by_initials(name: str, heard: set[str]) -> None:
    assert heard <= set(sounds(name))


def test_the_likeliest_readings_come_first() -> None:
    assert sounds("张伟")[0] == "zhangwei"
    assert sounds("重庆")[0] in ("zhongqing", "chongqing")


@pytest.mark.parametrize("name", ["", "Müller", "Wang Wei", "123", "さくら", "·"])
def test_what_is_not_chinese_has_no_sound(name: str) -> None:
    assert sounds(name) == ()
    assert not is_chinese(name)


@given(NAMES)
def test_a_name_has_few_sounds_in_plain_letters(name: str) -> None:
    heard = sounds(name)

    assert len(heard) <= 48
    assert all(sound.isascii() and sound.isalnum() and sound.islower() for sound in heard)


@pytest.mark.parametrize(
    ("typed", "sound"),
    [
        ("zhang wei", "zhangwei"),
        ("zhangwei", "zhangwei"),
        ("xi'an", "xian"),
        ("zw", "zw"),
        ("ou-yang", "ouyang"),
    ],
)
def test_pinyin_may_be_typed_with_breaks(typed: str, sound: str) -> None:
    assert spoken(typed) == sound


@pytest.mark.parametrize("typed", ["", " ", "张", "zhang1", "zhang,wei", "'a"])
def test_what_is_no_pinyin_is_not_listened_for(typed: str) -> None:
    assert spoken(typed) is None


def heard_in(name: dict[str, object], code: str) -> set[str]:
    found = Extractor(ZONE).extract({"resourceType": "Patient", "name": [name]})
    return {text for param, text in found.strings if param == f"{code}:sound"}


def test_a_persons_name_is_heard_whole_and_each_part_under_its_own_parameter() -> None:
    name = {"family": "张", "given": ["伟"], "text": "张伟"}

    assert heard_in(name, "name") == {"zhangwei", "zw", "wei"}
    assert heard_in(name, "family") == {"zhang"}
    assert heard_in(name, "given") == {"wei"}


def test_a_latin_name_and_an_address_are_not_heard() -> None:
    assert heard_in({"family": "Müller", "given": ["Anna"]}, "name") == set()
    found = Extractor(ZONE).extract({"resourceType": "Patient", "address": [{"city": "成都市"}]})
    assert not any(":sound" in param for param, _ in found.strings)
