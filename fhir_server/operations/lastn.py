"""Observation/$lastn: the last N observations of a subject for each code, newest first.

https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.codes import informed
from fhir_server.interactions.conditional import options
from fhir_server.interactions.context import Context, Operation
from fhir_server.interactions.omitted import omitted
from fhir_server.interactions.pages import link
from fhir_server.interactions.request import Reply
from fhir_server.operations.arguments import simple
from fhir_server.resources.bundle import searchset
from fhir_server.resources.outcome import outcome
from fhir_server.search.parse import parse
from fhir_server.search.query import Query, Sort, SortKey
from fhir_server.store.api import Stored

_SUBJECTS = frozenset({"patient", "subject"})
_KINDS = frozenset({"category", "code"})
_MOST = 20_000
"""Observations that are looked through; a chronic patient has a few thousand of one category."""

_AT_ONCE = 500

Group = tuple[str, str, str]
"""Subject, system and code; of a concept that has no coding "text" and its text."""


class _Coding(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Concept(msgspec.Struct):
    coding: list[_Coding] = []
    text: str = ""


class _Reference(msgspec.Struct, frozen=True):
    reference: str = ""


class _Observation(msgspec.Struct):
    code: _Concept
    subject: _Reference = _Reference()


_decode = msgspec.json.Decoder(_Observation).decode


@dataclass(frozen=True, slots=True)
class _Found:
    """An observation, the groups that its codes name, and when it was made (ms, None: not said)."""

    stored: Stored
    groups: tuple[Group, ...]
    when: SortKey


async def run(context: Context) -> Reply:
    """Return the newest ``max`` observations of each code, and those made at the same time as the last."""
    given = simple(context.request)
    most, criteria = _arguments(given)
    strict = context.request.prefer_strict is not False
    how = await informed(context, ("Observation",), criteria, options(context, strict=strict))
    search = parse("Observation", criteria, how)
    found = await _all(context, search.query)
    chosen = [each.stored for group in grouped(found) for each in newest(group, most)]
    links = [("self", link(context.request.base, "Observation/$lastn", tuple(given)))]
    entries = [(f"{context.request.base}/Observation/{stored.id}", stored.body) for stored in chosen]
    issues = (*omitted(context), *search.ignored)
    told = outcome(issues) if issues else None
    return Reply(200, searchset(len(chosen), links, entries, outcome=told))


def _arguments(given: Sequence[tuple[str, str]]) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Split ``max`` from the criteria; 400 unless they name a subject, and a category or code."""
    limits = [value for name, value in given if name == "max"]
    criteria = tuple(pair for pair in given if pair[0] != "max")
    names = {name.partition(":")[0].partition(".")[0] for name, value in criteria if value}
    if not names & _SUBJECTS or not names & _KINDS:
        raise Fault(
            Kind.BAD_REQUEST, "$lastn needs a subject (patient or subject) and a kind (category or code)."
        )
    shaping = sorted(name for name in names if name.startswith("_") and name in _SHAPING)
    if shaping:
        raise Fault(Kind.UNSUPPORTED_PARAMETER, f"$lastn does not take {shaping[0]}; it takes max.")
    if len(limits) > 1 or not all(_is_positive(text) for text in limits):
        raise Fault(Kind.BAD_PARAMETER, "max is one whole number, 1 or more.", "Parameters.parameter")
    return (int(limits[0]) if limits else 1), criteria


_SHAPING = frozenset(
    {"_count", "_elements", "_include", "_list", "_revinclude", "_sort", "_summary", "_total"}
)


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


async def _all(context: Context, query: Query) -> list[_Found]:
    """Return every observation that matches, newest first."""
    query = replace(query, sort=(Sort("date", descending=True),), count=_AT_ONCE)
    found: list[_Found] = []
    while True:
        page = await context.store.search(context.visibility, query)
        for stored, position in zip(page.matches, page.positions, strict=True):
            found.append(_Found(stored, _groups(stored.body), position.keys[0]))
        if page.next is None:
            return found
        if len(found) >= _MOST:
            raise Fault(
                Kind.TOO_COSTLY,
                f"More than {_MOST} observations match; narrow them by code, or by date (date=ge2025-01-01).",
            )
        query = replace(query, after=page.next)


def _groups(body: bytes) -> tuple[Group, ...]:
    seen = _decode(body)
    subject = seen.subject.reference
    codes = tuple((subject, each.system, each.code) for each in seen.code.coding if each.code)
    return codes or ((subject, "text", seen.code.text),)


def grouped(found: Iterable[_Found]) -> list[list[_Found]]:
    """Put together what shares a code, directly or by way of another observation; order is kept.

    An observation may carry the local code and the LOINC code of the same thing: then all three belong to
    one group, those with either and those with both.
    """
    leader: dict[Group, Group] = {}

    def lead(group: Group) -> Group:
        while leader.setdefault(group, group) != group:
            leader[group] = leader[leader[group]]
            group = leader[group]
        return group

    listed = list(found)
    for each in listed:
        first = lead(each.groups[0])
        for other in each.groups[1:]:
            leader[lead(other)] = first
    groups: dict[Group, list[_Found]] = {}
    for each in listed:
        groups.setdefault(lead(each.groups[0]), []).append(each)
    return list(groups.values())


def newest(group: Sequence[_Found], most: int) -> list[_Found]:
    """Return the first ``most`` of a group, and those that are as new as the last of them."""
    if len(group) <= most:
        return list(group)
    last = group[most - 1].when
    return [each for place, each in enumerate(group) if place < most or each.when == last]


LASTN = Operation(
    name="$lastn",
    handler=run,
    levels=frozenset({"type"}),
    types=("Observation",),
    definition="http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    searches=True,
)
