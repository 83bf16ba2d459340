"""Looks up what a decision rests on, decides, and remembers the decision while nothing of it has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import Any, Final, Generic, NamedTuple, TypeVar

from fhir_server.access.actor import Actor
from fhir_server.access.agreements import Agreement, agreements, bounds
from fhir_server.access.consented import Consenting, asking_of, is_asked, own_records
from fhir_server.access.decide import Decision, Facts, context_rule, decide
from fhir_server.access.standing import Standing, standing
from fhir_server.clock import now_ms
from fhir_server.consent.asking import Asking
from fhir_server.consent.policy import Overarching
from fhir_server.resources.codec import decode
from fhir_server.search.predicate import IdIn, all_of
from fhir_server.search.query import Query
from fhir_server.search.visibility import Visibility
from fhir_server.store.api import Store

REMEMBERED: Final = 500
"""How many decisions are kept: some 50 kB each; the longest unused is made anew in a few milliseconds."""
_DAY: Final = 86_400_000

T = TypeVar("T")

_Basis = tuple[Facts, int, tuple[str | None, ...]]
"""What rights rest on besides their actor: facts, the day, and which agreements are in force."""


class _Known(NamedTuple):
    """What was decided for an actor: by right, and with what consents leave of it, each with its basis."""

    basis: _Basis
    rights: Decision
    standing: Standing | None
    asking: Asking | None
    revision: int
    decision: Decision
    partly: Decision | None = None


class Looked(Generic[T]):
    """What was looked up by a key, kept until a record that governs changes in any process.

    Bounded; what was looked up longest ago goes first.
    """

    def __init__(self, store: Store, look_up: Callable[[str], Awaitable[T]]) -> None:
        self._store = store
        self._look_up = look_up
        self._known: OrderedDict[str, tuple[int, T]] = OrderedDict()

    async def get(self, key: str) -> T:
        """Return what ``key`` leads to now."""
        # The stamp is taken before: what is committed during the look-up makes the next one look again.
        governing = (await self._store.stamps()).governing
        known = self._known.get(key)
        if known is not None and known[0] == governing:
            return known[1]
        found = await self._look_up(key)
        self._known.pop(key, None)
        self._known[key] = governing, found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


class Proxy(NamedTuple):
    """A RelatedPerson's right: ``patients``, and from when to when (ms, both included)."""

    patients: tuple[str, ...]
    start: int
    end: int


class Decider:
    """Decides for one server; one for each process. ``zone``: of dates that carry none.

    ``overarching``: what holds of patients who have filed no Consent.
    """

    def __init__(self, store: Store, zone: tzinfo, overarching: Overarching = "treatment") -> None:
        self._store = store
        self._zone = zone
        # By the actor's identity: ``access.bearer`` gives the same object for each request of a token. The
        # decision holds it, so that no other object can have its id.
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._consenting = Consenting(store, overarching)
        self._standings: Looked[Standing] = Looked(store, self._standing)
        self._agreements: Looked[tuple[Agreement, ...]] = Looked(
            store, lambda receiver: agreements(store, receiver, zone)
        )
        self._proxies: Looked[Proxy] = Looked(store, self._proxy)

    async def decide(self, actor: Actor) -> Decision:
        """Return what ``actor`` may do now: what changes counts from the next call on."""
        now = now_ms()
        if actor.is_development:
            return decide(actor, now, _NO_FACTS, self._zone)
        facts = await self._facts(actor, now)
        # A boundary of an agreement's time that passes makes another basis, so another decision.
        refusals = tuple(each.refusal(now, actor.purpose) for each in facts.agreements)
        basis = facts, now // _DAY, refusals
        standing = await self._standing_of(actor)
        revision = self._consenting.revision
        known = self._known.get(id(actor))
        if known is not None and (known.rights.actor is not actor or known.basis != basis):
            known = None
        if known is not None and known.revision == revision and known.standing is standing:
            self._known.move_to_end(id(actor))
            return known.decision
        asking = None if standing is None else asking_of(actor, standing)
        rights = known.rights if known is not None else decide(actor, now, facts, self._zone)
        decision = rights
        if asking is not None:
            decision = self._consenting.joined(rights, asking, own_records(actor))
        self._known[id(actor)] = _Known(basis, rights, standing, asking, revision, decision)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return decision

    async def narrowed(self, actor: Actor, patients: frozenset[str]) -> Decision:
        """Return what ``actor`` may do now with records about ``patients`` (ids) and about nobody.

        For a request about them alone when the consents of all patients are too many for one search.
        """
        decision = await self.decide(actor)
        known = self._known[id(actor)]
        if known.asking is None:
            return decision
        classes = await self._store.policies.classes(patients)
        return self._consenting.joined(
            known.rights, known.asking, own_records(actor), frozenset(classes.values())
        )

    async def partly(self, actor: Actor) -> Decision:
        """Return what ``actor`` may do now, with some patients hidden if all are too many for one search.

        For a request that is about no single patient and whose answer can say so.
        """
        decision = await self.decide(actor)
        known = self._known[id(actor)]
        if known.asking is None:
            return decision
        if known.partly is None:
            made = self._consenting.joined(known.rights, known.asking, own_records(actor), partly=True)
            self._known[id(actor)] = known = known._replace(partly=made)
        return known.partly or decision

    async def _standing_of(self, actor: Actor) -> Standing | None:
        """Return what the actor is to a Consent; None for whom consents say nothing to."""
        if not is_asked(actor):
            return None
        await self._consenting.refresh()
        if self._consenting.is_silent:
            # Nobody has said anything, so nobody has named a role or an organisation.
            return _NO_STANDING
        return await self._standings.get(f"{actor.user or ''}|{actor.organization or ''}")

    async def _standing(self, key: str) -> Standing:
        user, _, organization = key.partition("|")
        return await standing(self._store, user or None, organization or None)

    async def _facts(self, actor: Actor, now: int) -> Facts:
        is_alone = actor.user is None or actor.user == f"Patient/{actor.patient}"
        if is_alone and actor.organization is None:
            return _NO_FACTS
        found = Facts(
            related=await self._related(actor.user, now),
            agreements=await self._agreements.get(actor.organization) if actor.organization else (),
        )
        if actor.patient is None or actor.user is None:
            return found
        return Facts(
            found.related,
            found.agreements,
            sees_patient=await self._reaches(actor, found, now, writes=False),
            keeps_patient=await self._reaches(actor, found, now, writes=True),
        )

    async def _related(self, user: str | None, now: int) -> tuple[str, ...]:
        """Return the patient whose proxy the user is now: by an active RelatedPerson in its period."""
        kind, _, id_ = (user or "").partition("/")
        if kind != "RelatedPerson":
            return ()
        proxy = await self._proxies.get(id_)
        return proxy.patients if proxy.start <= now <= proxy.end else ()

    async def _proxy(self, id_: str) -> Proxy:
        stored = await self._store.read(Visibility.everything("access: proxy"), "RelatedPerson", id_)
        return _NOBODYS if stored is None or stored.deleted else _proxy_of(decode(stored.body), self._zone)

    async def _reaches(self, actor: Actor, facts: Facts, now: int, *, writes: bool) -> bool:
        """Tell whether the user may by itself see, or write about, the patient of the launch context."""
        if actor.user == f"Patient/{actor.patient}":
            return True
        rule = context_rule(actor, facts, now, writes=writes)
        query = Query("Patient", all_of((IdIn((actor.patient or "",)), rule)), count=1)
        return bool(
            (await self._store.search(Visibility.everything("access: launch context"), query)).matches
        )


def _proxy_of(related: dict[str, Any], zone: tzinfo) -> Proxy:
    reference = related.get("patient", {}).get("reference", "")
    kind, _, id_ = reference.partition("/")
    if related.get("active") is False or kind != "Patient" or not id_:
        return _NOBODYS
    return Proxy((id_.partition("/")[0],), *bounds(related.get("period", {}), zone))


_NOBODYS: Final = Proxy((), 0, -1)
_NO_FACTS: Final = Facts()
_NO_STANDING: Final = Standing()
