"""Records and AuditEvents behind one door: nothing is joined across, nothing is read without being noted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import pytest

from fhir_server.audit.store import WithAudit
from fhir_server.audit.trail import Noted, Trail, begin
from fhir_server.faults import Fault, Kind
from fhir_server.search.predicate import EVERYTHING, About, Chain, Has, IdIn, Predicate, all_of, negate
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import HistoryQuery, Stale, Store
from tests.contract.store_world import ALL, change, open_sqlite, put

TO_RECORDS = Chain("patient", "Patient", EVERYTHING)
TO_AUDIT = Has("AuditEvent", "patient", EVERYTHING)


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[WithAudit]:
    records, audit = open_sqlite(tmp_path / "records"), open_sqlite(tmp_path / "audit")
    await put(records, change("Patient", "p"))
    await put(audit, change("AuditEvent", "e"))
    yield WithAudit(records, audit)
    await records.close()
    await audit.close()


@pytest.mark.parametrize("facade", [WithAudit, Noted])
def test_every_method_of_a_store_is_its_own(facade: type) -> None:
    """A method that were passed on by name would be a way around it."""
    assert {name for name in vars(Store) if not name.startswith("_")} <= set(dir(facade))
    assert not hasattr(facade, "__getattr__")


async def test_each_type_is_found_in_its_store(both: WithAudit) -> None:
    assert await both.read(ALL, "Patient", "p") is not None
    assert await both.read(ALL, "AuditEvent", "e") is not None
    found = await both.read_many(ALL, [("AuditEvent", "e"), ("Patient", "p"), ("Patient", "none")])
    assert [stored.type for stored in found] == ["AuditEvent", "Patient"]
    assert len((await both.search(ALL, Query("AuditEvent", EVERYTHING))).matches) == 1


async def test_the_history_of_all_types_is_the_records(both: WithAudit) -> None:
    everything = await both.history(ALL, HistoryQuery(None))
    events = await both.history(ALL, HistoryQuery("AuditEvent"))

    assert [stored.type for stored in everything.versions] == ["Patient"]
    assert [stored.type for stored in events.versions] == ["AuditEvent"]


async def test_an_audit_event_is_never_written(both: WithAudit) -> None:
    with pytest.raises(Fault) as refused:
        both.prepare(change("AuditEvent", "new"))

    assert refused.value.kind is Kind.METHOD_NOT_ALLOWED
    assert both.prepare(change("Patient", "new"))


@pytest.mark.parametrize(
    ("type_", "where"),
    [
        ("AuditEvent", TO_RECORDS),
        ("AuditEvent", all_of((IdIn(("e",)), negate(TO_RECORDS)))),
        ("Patient", TO_AUDIT),
        ("Observation", Chain("subject", "Patient", TO_AUDIT)),
    ],
)
async def test_a_search_that_leads_across_is_refused(both: WithAudit, type_: str, where: Predicate) -> None:
    with pytest.raises(Fault) as refused:
        await both.search(ALL, Query(type_, where))

    assert refused.value.kind is Kind.UNSUPPORTED_PARAMETER


async def test_a_search_that_stays_is_answered(both: WithAudit) -> None:
    where = Chain("general-practitioner", "Patient", EVERYTHING)

    assert (await both.search(ALL, Query("Patient", where))).matches == []


CLASSED = negate(About(frozenset({1})))
"""Which policy class a patient is in is known where the records are."""


@pytest.mark.parametrize(
    "across",
    [
        Visibility("test", MappingProxyType({"AuditEvent": negate(TO_RECORDS)})),
        Visibility("test", MappingProxyType({"AuditEvent": CLASSED})),
        Visibility("test", default=EVERYTHING, consents=MappingProxyType({"AuditEvent": CLASSED})),
    ],
    ids=["by a reference", "by policy class", "by consent"],
)
async def test_rights_that_lead_across_give_nothing_rather_than_too_much(
    both: WithAudit, across: Visibility
) -> None:

    for reading in (
        both.read(across, "AuditEvent", "e"),
        both.read_version(across, "AuditEvent", "e", 1),
        both.read_many(across, [("AuditEvent", "e")]),
        both.search(across, Query("AuditEvent", EVERYTHING)),
        both.history(across, HistoryQuery("AuditEvent")),
    ):
        with pytest.raises(Fault) as refused:
            await reading
        assert refused.value.kind is Kind.FORBIDDEN


async def test_what_is_read_and_written_is_noted_in_the_trail_of_its_task(both: WithAudit) -> None:
    noted, trail = Noted(both), Trail()
    before = begin(trail)
    await noted.read(ALL, "Patient", "p")
    await noted.read(ALL, "Patient", "none")
    await noted.search(ALL, Query("AuditEvent", EVERYTHING))
    await noted.read_many(ALL, [("Patient", "p")])
    await noted.read_version(ALL, "Patient", "p", 1)
    await noted.history(ALL, HistoryQuery("Patient", "p"))
    await noted.commit([noted.prepare(change("Patient", "q"))])
    begin(before)
    await noted.read(ALL, "Patient", "p")

    assert [stored.id for stored in trail.seen] == ["p", "e", "p", "p", "p"]
    assert [one.id for one in trail.written] == ["q"]


async def test_a_commit_that_fails_is_not_noted(both: WithAudit) -> None:
    noted, trail = Noted(both), Trail()
    begin(trail)
    with pytest.raises(Stale):
        await noted.commit([noted.prepare(change("Patient", "p", 7))])
    begin(None)

    assert trail.written == []
