"""Regional profiles: what a province means otherwise, as an overlay."""

from __future__ import annotations

from random import Random

import pytest

from fhir_server.validation import errors
from mappings.engine.laws import broken
from mappings.engine.model import Refused
from mappings.engine.run import read
from tests.mapping.nhsa.messages import FORMAT, PLAIN, map_of, random_message, whole_message

PROFILES = tuple(FORMAT.overlays())


def kinds(*profiles: str) -> list[str]:
    map_ = map_of("2203A", "request", *profiles)
    message = whole_message(map_, Random(1))
    message.tree["mdtrtinfo"] |= {"rxfixmedinsCode": "H99999900002", "rxIn": "JVBERg=="}
    result = read(map_, message, PLAIN)
    assert [error for entry in result.bundle["entry"] for error in errors(entry["resource"])] == []
    return [entry["resource"]["resourceType"] for entry in result.bundle["entry"]]


def test_2203a_is_the_hospitals_visit_without_a_profile_and_the_pharmacys_in_hunan() -> None:
    assert "DocumentReference" not in kinds()
    assert "DocumentReference" in kinds("hunan")
    assert "DocumentReference" not in kinds("zhejiang")


def test_a_profile_changes_no_other_map() -> None:
    plain, hunan = map_of("2203", "request"), map_of("2203", "request", "hunan")

    assert [target.id for target in plain.targets] == [target.id for target in hunan.targets]


@pytest.mark.parametrize("profile", PROFILES)
def test_both_laws_hold_under_every_profile(profile: str) -> None:
    changed = {str(name) for name in FORMAT.overlays()[profile].value["maps"].value}  # type: ignore[index, call-overload]
    maps = [map_ for map_ in FORMAT.maps((profile,)) if map_.name in changed]

    assert maps != []
    for map_ in maps:
        for seed in range(3):
            assert [str(each) for each in broken(map_, random_message(map_, Random(seed)))] == []


def test_refuses_a_profile_that_is_not_there() -> None:
    with pytest.raises(Refused, match="There is no profile 'atlantis'"):
        FORMAT.maps(("atlantis",))
