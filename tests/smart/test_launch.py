"""Standalone launch: from the app's request over the pages to records of one patient and nobody else's."""

from __future__ import annotations

import pytest

from tests.smart.world import World

pytestmark = pytest.mark.every_engine


def test_a_patient_gets_a_token_for_the_own_record(world: World) -> None:
    tokens = world.launch("app", "li")

    assert tokens["patient"] == "li"
    assert world.get("Patient/li", tokens["access_token"]).status_code == 200
    assert world.get("Coverage/coverage-li", tokens["access_token"]).status_code == 200


def test_nobody_elses_record_can_be_read_with_it(world: World) -> None:
    tokens = world.launch("app", "li")

    assert world.get("Patient/zhao", tokens["access_token"]).status_code == 404
    found = world.get("Coverage?_total=accurate", tokens["access_token"]).json()
    assert found["total"] == 1
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["coverage-li"]


def test_without_a_token_nothing_is_read(world: World) -> None:
    response = world.get("Patient/li")

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
