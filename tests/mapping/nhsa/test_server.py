"""From messages to the server: every golden message is taken, and taken again without a new version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mappings.engine.model import Context, Message
from mappings.engine.run import read
from tests import engines
from tests.http.server import Server, load, served
from tests.mapping.nhsa.messages import FORMAT

GOLDEN = Path(__file__).parent / "golden"
CONTEXT = Context(source="demo", now="2026-01-01T09:00:00+08:00", media_type="application/json")
Tree = dict[str, Any]

# One server for the file, not one per worker.
pytestmark = [pytest.mark.xdist_group("nhsa-server"), pytest.mark.every_engine]


@pytest.fixture(scope="module")
def server(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with engines.using(engine), served(tmp_path_factory.mktemp("data")) as running:
        yield running


def bundles(name: str) -> list[Tree]:
    file = GOLDEN / f"{name}.message.json"
    found = [
        item for item in FORMAT.split(file.read_bytes(), {"where": file.name}) if isinstance(item, Message)
    ]
    made = []
    for message in found:
        map_ = FORMAT.map_for(message)
        assert map_ is not None
        made.append(read(map_, message, CONTEXT).bundle)
    return made


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.message.json")), ids=lambda file: file.name)
def test_takes_every_golden_message_and_makes_nothing_new_of_it_again(server: Server, file: Path) -> None:
    for bundle in bundles(file.name.removesuffix(".message.json")):
        first = server.post("", bundle)
        assert first.status_code == 200, first.text
        again = load(server.post("", bundle))

        statuses = {entry["response"]["status"][:3] for entry in again["entry"]}
        assert statuses == {"200"}, again
        assert versions(load(first)) == versions(again)


def versions(answer: Tree) -> list[str]:
    return [entry["response"]["location"] for entry in answer["entry"]]


def test_a_settlement_is_found_by_patient_claim_and_number(server: Server) -> None:
    for name in ("1101-response", "2207"):
        for bundle in bundles(name):
            assert server.post("", bundle).status_code == 200
    [patient] = server.find(
        "Patient?identifier=https://fhir-server.invalid/NamingSystem/nhsa-psn-no|99990000000000000000012345"
    )

    assert len(server.find(f"ExplanationOfBenefit?patient={patient}&identifier=800000000001")) == 1
    assert len(server.find(f"Claim?patient={patient}&use=claim")) >= 1
    assert len(server.find(f"Coverage?beneficiary={patient}")) >= 2
    assert server.find("ExplanationOfBenefit?identifier=800000000009") == []
