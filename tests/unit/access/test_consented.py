"""Which policy classes are counted: asked for when it matters, and never by an older answer than is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from fhir_server.access.consented import Consenting
from fhir_server.consent import groups
from fhir_server.consent.asking import Asking
from fhir_server.consent.combine import rule_at, standing
from fhir_server.consent.rule import to_bytes
from fhir_server.consent.source import directive
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import NOTHING
from fhir_server.store.api import Stamps
from tests.consent.wishes import ZONE, concept, consent

B = Asking(organization="Organization/b", purpose="TREAT")


def denying(code: str) -> bytes:
    values = [concept({"system": "urn:x", "code": code})]
    found = directive(consent({"type": "permit", "provision": [{"type": "deny", "code": values}]}), ZONE)
    assert found is not None
    return to_bytes(rule_at(standing([found]), 0))


class Files:
    """A store of three classes, of which the test says when and what is told of their use."""

    def __init__(self, *used: Iterable[int]) -> None:
        self.policies = self
        self.governing = 1
        self.asked = 0
        self._used = [frozenset(each) for each in used]
        self.gates = [asyncio.Event() for _ in used]

    async def stamps(self) -> Stamps:
        return Stamps(0, self.governing, 3)

    async def rules(self, after: int = 0) -> list[tuple[int, bytes]]:
        return [(number, denying(str(number))) for number in range(after + 1, 4)]

    async def used(self) -> frozenset[int]:
        turn = self.asked
        self.asked += 1
        await self.gates[turn].wait()
        return self._used[turn]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_CONDITIONS", 3)


async def crowded(files: Any) -> Consenting:
    """Return the consents once a search over all has found that they are too many."""
    consenting = Consenting(files, "treatment")
    await consenting.refresh()
    assert files.asked == 0
    with pytest.raises(groups.TooManyConditions):
        seen(consenting)
    return consenting


def seen(consenting: Consenting) -> object:
    return consenting._condition(None, False, B, "Condition", NOTHING)


async def test_use_is_asked_for_once_for_each_filing_and_only_where_room_is_short() -> None:
    files: Any = Files({1}, {1, 2})
    consenting = await crowded(files)
    for gate in files.gates:
        gate.set()

    before = consenting.revision
    for _ in range(3):
        await consenting.refresh()
    assert files.asked == 1
    assert consenting.revision > before
    assert seen(consenting)
    files.governing = 2
    await consenting.refresh()
    assert files.asked == 2


async def test_an_answer_that_comes_late_does_not_leave_out_what_was_entered_since() -> None:
    files: Any = Files({1}, {1, 2})
    consenting = await crowded(files)

    slow = asyncio.create_task(consenting.refresh())
    await asyncio.sleep(0)
    files.governing = 2  # somebody enters class 2, and whoever asks from here on is told
    files.gates[1].set()
    await consenting.refresh()
    counted = consenting.revision
    files.gates[0].set()
    await slow

    assert files.asked == 2
    assert consenting.revision == counted


async def test_what_cannot_be_asked_for_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    files: Any = Files({1})
    consenting = await crowded(files)

    async def broken() -> frozenset[int]:
        raise RuntimeError("Zanzibarov")

    monkeypatch.setattr(files, "used", broken)
    with pytest.raises(Fault) as raised:
        await consenting.refresh()
    assert raised.value.kind is Kind.UNAVAILABLE
    assert "Zanzibarov" not in raised.value.diagnostics
