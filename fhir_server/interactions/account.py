"""The account of one interaction: what the audit log is told of it, whatever became of it.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fhir_server.access.actor import Actor
from fhir_server.access.decide import Decision
from fhir_server.audit.entry import MAJOR, MINOR, SERIOUS, SUCCESS, Agent, Entry, Item
from fhir_server.audit.patients import Patients
from fhir_server.audit.trail import Trail
from fhir_server.clock import now_ms
from fhir_server.faults import Fault
from fhir_server.interactions.request import Reply, Request

WRITES: Final = frozenset({"create", "update", "patch", "delete"})
_READS: Final = frozenset({"read", "vread", "history-instance"})
_BY_METHOD: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_self_link = re.compile(rb'"relation":"self","url":"([^"\\]*)"').search
_DENIED: Final = frozenset({401, 403, 405})

_REMEMBERED: Final = 10_000

_Key = tuple[str, str]

# By the actor's identity: ``access.bearer`` gives the same object for each request of a token.
_agents: dict[tuple[int, str], tuple[Actor, Agent]] = {}


@dataclass(slots=True)
class Account:
    """One interaction under way: the request, what it touches, and once it was decided, on what grounds."""

    request: Request
    patients: Patients
    trail: Trail = field(default_factory=Trail)
    actor: Actor | None = None
    decision: Decision | None = None
    overarching: str = ""
    """What holds where patients have said nothing: setting FHIR_CONSENT_POLICY."""

    def answered(self, reply: Reply) -> list[Entry]:
        """Return what happened: one entry for each write, or one for what was read or asked.

        A transaction's entries that wrote nothing are the reads that they were; the entries of a batch, and
        the reads of a transaction, have accounts of their own.
        """
        request, trail = self.request, self.trail
        if trail.written:
            entries = self._writes()
            return entries + self._left_over() if request.name == "batch" else entries
        if request.name == "batch":
            return self._left_over()
        return [self._read(reply)]

    def refused(self, fault: Fault) -> list[Entry]:
        """Return the one entry that says what was refused, and why."""
        return [self._failed(fault.kind.status, fault.kind.code, fault.diagnostics)]

    def failed(self, text: str) -> list[Entry]:
        """Return what happened when no answer could be given: what was written all the same, or a failure."""
        if self.trail.written:
            return self._writes()
        return [self._failed(503, "incomplete", text)]

    def _failed(self, status: int, issue: str, text: str) -> Entry:
        request = self.request
        return self._entry(
            request.name if request.name != "batch" else _bundle_type(request),
            status,
            items=_addressed(request),
            patients=_named_patients(request),
            query=_sent(request),
            issue=issue,
            text=text,
        )

    def _read(self, reply: Reply) -> Entry:
        request = self.request
        name = request.name
        items: tuple[Item, ...] = ()
        if name in _READS or name in WRITES:
            items = _answered_items(request, reply)
        return self._entry(
            name,
            reply.status,
            items=items,
            patients=self._patients(),
            query="" if items else _sent(request),
            meaning="" if items else _understood(request, reply),
        )

    @property
    def policy(self) -> str:
        """What decides where no Consent does, as :class:`Entry` says it."""
        if self.decision is None:
            return ""
        if self.decision.asking is not None:
            return self.overarching
        if self.decision.actor.is_development:
            return "internal"
        return "own" if self.decision.actor.patient or self.decision.actor.user else "house"

    def _patients(self) -> tuple[str, ...]:
        """Return the patients of all that was read, each once, in order."""
        seen = self.trail.seen
        base = self.request.base
        if len(seen) == 1:
            return self.patients.of(seen[0], base)
        found: dict[str, None] = {}
        for stored in seen:
            for patient in self.patients.of(stored, base):
                found[patient] = None
        return tuple(found)

    def _writes(self) -> list[Entry]:
        """Return an entry for each write, about the patients of what was there before and of what is now."""
        base, name = self.request.base, self.request.name
        before: dict[_Key, dict[str, None]] = {}
        for stored in self.trail.seen:
            known = before.setdefault((stored.type, stored.id), {})
            known.update(dict.fromkeys(self.patients.of(stored, base)))
        return [
            self._entry(
                name if name in WRITES else _BY_METHOD[change.method],
                200,
                type_=change.type,
                items=(Item(change.type, change.id, change.version),),
                patients=tuple(
                    dict.fromkeys(
                        (*self.patients.of(change, base), *before.get((change.type, change.id), ()))
                    )
                ),
                created=change.method != "DELETE" and change.version == 1,
            )
            for change in self.trail.written
        ]

    def _left_over(self) -> list[Entry]:
        """Return a read for each resource that was read and not written."""
        written: set[_Key] = {(change.type, change.id) for change in self.trail.written}
        kept = {
            (stored.type, stored.id): stored
            for stored in self.trail.seen
            if (stored.type, stored.id) not in written
        }
        return [
            self._entry(
                "read",
                200,
                type_=stored.type,
                items=(Item(stored.type, stored.id, stored.version),),
                patients=self.patients.of(stored, self.request.base),
            )
            for stored in kept.values()
        ]

    def _entry(  # noqa: PLR0913 - an entry has this many fields, each given by name
        self,
        interaction: str,
        status: int,
        *,
        type_: str = "",
        items: tuple[Item, ...] = (),
        patients: tuple[str, ...] = (),
        query: str = "",
        meaning: str = "",
        issue: str = "",
        text: str = "",
        created: bool = False,
    ) -> Entry:
        request = self.request
        return Entry(
            at=now_ms(),
            interaction=interaction,
            outcome=_outcome(status),
            status=status,
            request=request.request_id,
            agent=_agent(self.actor, request.address),
            type=type_ or request.type or "",
            items=items,
            patients=patients,
            query=query,
            parameters=request.parameters if query else (),
            operation=request.operation or "",
            issue=issue,
            text=text,
            reason=self.decision.reasons if self.decision is not None else (),
            created=created,
            meaning=meaning,
            policy=self.policy,
        )


def _agent(actor: Actor | None, address: str) -> Agent:
    if actor is None:
        return Agent("anonymous", address=address)
    known = _agents.get((id(actor), address))
    if known is not None and known[0] is actor:
        return known[1]
    if len(_agents) >= _REMEMBERED:
        _agents.clear()
    agent = Agent(
        actor.client,
        actor.user or "",
        actor.organization or "",
        tuple(sorted(actor.roles)),
        actor.purpose or "",
        actor.token or "",
        address,
    )
    _agents[id(actor), address] = actor, agent
    return agent


def _outcome(status: int) -> int:
    """Return the outcome of an event: denied is serious, a server's failure is major, the rest minor."""
    if status < 400:
        return SUCCESS
    if status >= 500:
        return MAJOR
    return SERIOUS if status in _DENIED else MINOR


def _answered_items(request: Request, reply: Reply) -> tuple[Item, ...]:
    """Return the resource that a reply is about, in the version that it told."""
    type_, _, id_ = (reply.resource or f"{request.type}/{request.id or ''}").partition("/")
    return (Item(type_, id_, reply.etag or 0),) if id_ else ()


def _addressed(request: Request) -> tuple[Item, ...]:
    """Return the resource that the address names."""
    if request.type is None or request.id is None:
        return ()
    return (Item(request.type, request.id),)


def _named_patients(request: Request) -> tuple[str, ...]:
    """Return the patient that the address of a refused request names, whether there is one or not."""
    kind, id_ = request.compartment or (request.type, request.id)
    return (id_,) if kind == "Patient" and id_ else ()


def _sent(request: Request) -> str:
    """Return method and path of the request as it was sent."""
    parts: Iterable[str | None]
    if request.compartment is not None:
        parts = (*request.compartment, request.type)
    else:
        parts = (request.type, request.id, request.operation)
    if request.name.startswith("history"):
        parts = (*parts, "_history")
    path = "/".join(part for part in parts if part)
    address = f"{request.method} /{path}"
    return f"{address} If-None-Exist: {request.if_none_exist}" if request.if_none_exist else address


def _understood(request: Request, reply: Reply) -> str:
    """Return a search as it was understood: the link to itself, which a page link does not tell."""
    found = _self_link(reply.body, 0, 8192)
    return found[1].decode().removeprefix(f"{request.base}/") if found else ""


def _bundle_type(request: Request) -> str:
    type_ = (request.body or {}).get("type")
    return "transaction" if type_ == "transaction" else "batch"
