"""Who is who in a transaction: what each entry will be called, and what every reference in it then says.

https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.conditional import Parameters, criteria, find
from fhir_server.interactions.context import Context
from fhir_server.resources.bundle import Entry
from fhir_server.resources.reference import Links, parse
from fhir_server.store.api import Expectation, Stored


@dataclass(slots=True)
class Identities:
    """What one attempt at a transaction has found out.

    ``ids``: entry index → logical id. ``found``: entry index → the resource its criteria matched.
    ``expectations``: what the store must still find when it commits.
    """

    ids: dict[int, str] = field(default_factory=dict)
    found: dict[int, Stored | None] = field(default_factory=dict)
    expectations: list[Expectation] = field(default_factory=list)


async def identify(context: Context, entries: Sequence[Entry], fresh: dict[int, str]) -> Identities:
    """Give every writing entry its id: its own, that of the one match of its criteria, or a fresh one.

    ``fresh`` keeps the ids that were made up, so that a second attempt makes up the same. Two creates with
    the same condition are one resource: the second finds the first.
    """
    known = Identities()
    conditional: dict[tuple[str, Parameters], int] = {}
    for entry in entries:
        target = entry.target
        if target.type is None or target.name not in {"create", "update", "patch", "delete"}:
            continue
        conditions = _conditions(entry)
        if conditions is None:
            known.ids[entry.index] = target.id or _fresh(fresh, entry.index)
            continue
        first = conditional.setdefault((target.type, conditions), entry.index)
        if first != entry.index and target.name == "create":
            known.ids[entry.index] = known.ids[first]
            known.found[entry.index] = known.found[first]
            continue
        found, expectation = await _found(context, entry, conditions)
        known.found[entry.index] = found
        known.expectations.append(expectation)
        if found is not None:
            known.ids[entry.index] = found.id
        else:
            given = entry.resource.get("id") if entry.resource and target.name == "update" else None
            known.ids[entry.index] = given if isinstance(given, str) else _fresh(fresh, entry.index)
    return known


def _conditions(entry: Entry) -> Parameters | None:
    """Return the criteria that say which resource is meant; None when the entry names or makes one."""
    if entry.target.name == "create":
        return criteria(entry.if_none_exist) if entry.if_none_exist is not None else None
    return entry.target.parameters if entry.target.id is None else None


def _fresh(fresh: dict[int, str], index: int) -> str:
    return fresh.setdefault(index, str(uuid4()))


async def _found(context: Context, entry: Entry, conditions: Parameters) -> tuple[Stored | None, Expectation]:
    try:
        return await find(context, str(entry.target.type), conditions)
    except Fault as fault:
        raise _at(fault, f"{entry.path}.request") from fault


class References:
    """Every reference that a transaction's writing entries make, to be written anew at each attempt."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._links = [(entry, Links(entry.resource)) for entry in entries if entry.resource is not None]
        self._named = [entry for entry in entries if entry.full_url is not None]

    async def resolve(self, context: Context, known: Identities) -> None:
        """Write what each reference means under ``known``; add the expectations of conditional references.

        Faults: 422 for a ``urn:uuid`` that is no entry's fullUrl and for a conditional reference that matches
        nothing, 412 for one that matches several.
        """
        names = self._names(known)
        issues: list[Issue] = []
        for entry, links in self._links:
            for text in links.references - names.keys():
                reference = parse(text, context.request.base)
                if reference.form == "conditional" and reference.type and reference.query:
                    names[text] = await _conditional(context, entry, reference.type, reference.query, known)
                elif text.startswith("urn:uuid:"):
                    words = "A reference leads to a urn:uuid that is no entry's fullUrl."
                    issues.append(Issue("error", "not-found", words, (f"{entry.path}.resource",)))
            links.rewrite(names.get)
        if issues:
            raise Fault(Kind.UNPROCESSABLE, issues[0].diagnostics, issues=tuple(dict.fromkeys(issues)))

    def _names(self, known: Identities) -> dict[str, str]:
        """Map every fullUrl, and the relative form of one that is a RESTful URL, to the entry's new name."""
        names: dict[str, str] = {}
        for entry in self._named:
            id_ = known.ids.get(entry.index)
            if id_ is None or entry.full_url is None or entry.target.type is None:
                continue
            name = f"{entry.target.type}/{id_}"
            names[entry.full_url] = name
            local = parse(entry.full_url)
            if local.form == "absolute" and local.type == entry.target.type:
                names.setdefault(f"{local.type}/{local.id}", name)
        return names


async def _conditional(context: Context, entry: Entry, type_: str, query: str, known: Identities) -> str:
    try:
        found, expectation = await find(context, type_, criteria(query))
    except Fault as fault:
        raise _at(fault, f"{entry.path}.resource") from fault
    if found is None:
        raise Fault(
            Kind.UNPROCESSABLE,
            f"The conditional reference to a {type_} matches nothing; store the {type_} first.",
            f"{entry.path}.resource",
        )
    known.expectations.append(expectation)
    return f"{type_}/{found.id}"


def _at(fault: Fault, path: str) -> Fault:
    """Return the same fault with the entry it belongs to."""
    issues = tuple(Issue(i.severity, i.code, i.diagnostics, i.expression or (path,)) for i in fault.issues)
    return Fault(fault.kind, fault.diagnostics, issues=issues, headers=fault.headers)
