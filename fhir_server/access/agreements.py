"""Sharing agreements: whoever receives another organisation's data has signed a Contract, or sees none of it.

A Contract is an agreement when its ``type`` says so. ``subject``: the receiving organisation; ``authority``:
those whose data it covers, none for everybody's; ``term.asset.type``: resource types; ``term.action.intent``:
purposes of use, none for any; ``applies``: from when to when; signed: ``status`` executed and the receiver
among ``signer.party``. https://hl7.org/fhir/R4/contract.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final

from fhir_server.access.rules import organisation
from fhir_server.faults import Fault
from fhir_server.resources.codec import decode
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.dates import span
from fhir_server.search.predicate import EVERYTHING, NOTHING, Predicate, ReferenceIs, TokenIs, Where, any_of
from fhir_server.search.query import Position, Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store, Stored

Tree = dict[str, Any]

TYPE_SYSTEM: Final = "urn:fhir-server:contract-type"
TYPE_CODE: Final = "data-sharing-agreement"
RESOURCE_TYPE_SYSTEM: Final = "http://hl7.org/fhir/resource-types"
PURPOSE_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
MOST: Final = 200
"""Most agreements of one receiver that are looked at; with more, the newest of them do not count."""

_ALWAYS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Agreement:
    """One agreement. ``grantors``: () for everybody; ``types``: resource types; ``purposes``: () for any.

    ``start``, ``end``: ms since the epoch, both included. ``status``: the Contract's.
    """

    id: str
    receiver: str
    grantors: tuple[str, ...]
    types: frozenset[str]
    purposes: frozenset[str]
    start: int
    end: int
    status: str
    is_signed: bool

    def refusal(self, now: int, purpose: str | None) -> str | None:
        """Return why it grants nothing at ``now`` (ms) for ``purpose``, for the audit; None: it does."""
        if self.status in ("revoked", "terminated", "cancelled", "rejected", "entered-in-error"):
            return "revoked"
        if self.status != "executed" or not self.is_signed:
            return "unsigned"
        if now < self.start:
            return "not yet in force"
        if now > self.end:
            return "expired"
        if self.purposes and purpose not in self.purposes:
            return "out of scope: purpose of use"
        return None

    def shared(self, type_: str) -> Predicate:
        """Return what of ``type_`` it covers, whether or not it is in force."""
        if type_ not in self.types:
            return NOTHING
        if not self.grantors:
            return EVERYTHING
        return any_of(organisation(grantor, type_) for grantor in self.grantors)


def contract(agreement: Agreement, signature: Tree | None = None) -> Tree:
    """Return the Contract resource of an agreement, to be stored; ``signature``: a Signature once signed."""
    parts = [{"coding": [{"system": RESOURCE_TYPE_SYSTEM, "code": name}]} for name in sorted(agreement.types)]
    actions = [
        {
            "type": {"text": "share"},
            "intent": {"coding": [{"system": PURPOSE_SYSTEM, "code": purpose}]},
            "status": {"text": "active"},
        }
        for purpose in sorted(agreement.purposes)
    ]
    term = {
        "offer": {"text": "Data sharing"},
        "asset": [{"type": parts}],
        **({"action": actions} if actions else {}),
    }
    tree: Tree = {
        "resourceType": "Contract",
        "id": agreement.id,
        "status": agreement.status,
        "subject": [{"reference": agreement.receiver}],
        "type": {"coding": [{"system": TYPE_SYSTEM, "code": TYPE_CODE}]},
        "term": [term],
    }
    if agreement.grantors:
        tree["authority"] = [{"reference": grantor} for grantor in agreement.grantors]
    if signature is not None:
        party = {"reference": agreement.receiver}
        tree["signer"] = [{"type": {"code": "GRANTEE"}, "party": party, "signature": [signature]}]
    return tree


def agreement_of(tree: Tree, receiver: str, zone: tzinfo) -> Agreement:
    """Read a Contract as an agreement with ``receiver``; what cannot be read grants nothing."""
    terms = [term for term in _objects(tree, "term") if "applies" not in term]
    period = tree.get("applies", {})
    start, end = bounds(period, zone)
    signers = {
        _reference(signer.get("party")) for signer in _objects(tree, "signer") if signer.get("signature")
    }
    return Agreement(
        id=str(tree.get("id", "")),
        receiver=receiver,
        grantors=tuple(_reference(each) for each in _objects(tree, "authority")),
        types=frozenset(
            code
            for term in terms
            for asset in _objects(term, "asset")
            for code in _codes(_objects(asset, "type"), RESOURCE_TYPE_SYSTEM)
            if code in RESOURCE_TYPES
        ),
        purposes=frozenset(
            code
            for term in terms
            for action in _objects(term, "action")
            for code in _codes([action.get("intent", {})], PURPOSE_SYSTEM)
        ),
        start=start,
        end=end,
        status=str(tree.get("status", "")),
        is_signed=receiver in signers,
    )


async def agreements(store: Store, receiver: str, zone: tzinfo) -> tuple[Agreement, ...]:
    """Return the agreements whose receiving party is ``receiver`` (``Organization/1``), as they are now.

    What was read of one version is kept.
    """
    query = Query("Contract", Where("subject", ReferenceIs((receiver,))), count=MOST)
    page = await store.search(Visibility.everything("access: agreements"), query)
    found = (_read(stored, receiver, zone) for stored in page.matches)
    return tuple(agreement for agreement in found if agreement is not None)


async def receivers(store: Store) -> tuple[str, ...]:
    """Return the organisations that are the receiving party of an executed agreement, each once."""
    found: dict[str, None] = {}
    after: Position | None = None
    while True:
        where = Where("status", TokenIs(None, "executed"))
        query = Query("Contract", where, count=MOST, after=after)
        page = await store.search(Visibility.everything("access: agreements"), query)
        for stored in page.matches:
            tree = decode(stored.body)
            if TYPE_CODE in _codes([tree.get("type", {})], TYPE_SYSTEM):
                found.update(dict.fromkeys(_reference(each) for each in _objects(tree, "subject")))
        if page.next is None:
            return tuple(each for each in found if each.startswith("Organization/"))
        after = page.next


@lru_cache(maxsize=4096)
def _read(stored: Stored, receiver: str, zone: tzinfo) -> Agreement | None:
    try:
        tree = decode(stored.body)
    except Fault:
        return None
    if TYPE_CODE not in _codes([tree.get("type", {})], TYPE_SYSTEM):
        return None
    return agreement_of(tree, receiver, zone)


def bounds(period: Any, zone: tzinfo) -> tuple[int, int]:
    """Return (start, end) of a Period in ms; one that cannot be read is over already."""
    if not isinstance(period, dict):
        return 0, -1
    try:
        start = span(period["start"], zone)[0] if "start" in period else -_ALWAYS
        end = span(period["end"], zone)[1] if "end" in period else _ALWAYS
    except ValueError:
        return 0, -1
    return start, end


def _objects(tree: Tree, name: str) -> Iterator[Tree]:
    values = tree.get(name, [])
    return (each for each in values if isinstance(each, dict)) if isinstance(values, list) else iter(())


def _codes(concepts: Iterable[Any], system: str) -> frozenset[str]:
    """Return the codes of ``system`` in CodeableConcepts."""
    return frozenset(
        str(coding.get("code"))
        for concept in concepts
        if isinstance(concept, dict)
        for coding in _objects(concept, "coding")
        if coding.get("system") == system
    )


def _reference(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""
