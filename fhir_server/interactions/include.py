"""Includes: what the matches refer to, and what refers to the matches.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.faults import Issue
from fhir_server.interactions.context import Context
from fhir_server.search.parse import Include
from fhir_server.search.predicate import Predicate, ReferenceIs, Where, any_of
from fhir_server.search.query import Query
from fhir_server.store.api import Stored

Key = tuple[str, str]


async def included(
    context: Context, includes: Sequence[Include], matches: Sequence[Stored]
) -> tuple[list[Stored], list[Issue]]:
    """Return the resources that the includes add to the page, each once, and a warning if the limit cut them.

    An include without ``:iterate`` starts from the matches alone; one with it also from what was included.
    """
    if not includes or not matches:
        return [], []
    limit = context.settings.max_includes
    seen: set[Key] = {(stored.type, stored.id) for stored in matches}
    found: list[Stored] = []
    sources: Sequence[Stored] = matches
    first = True
    while sources and len(found) <= limit:
        step: list[Stored] = []
        for include in includes:
            if first or include.iterate:
                step += await _follow(context, include, sources, seen, limit + 1 - len(found) - len(step))
        found += step
        sources, first = step, False
    if len(found) > limit:
        warning = (
            f"More than {limit} resources would be included; {limit} are. Ask for fewer matches (_count) or "
            "follow the references page by page."
        )
        return found[:limit], [Issue("warning", "too-costly", warning)]
    return found, []


async def _follow(
    context: Context, include: Include, sources: Sequence[Stored], seen: set[Key], room: int
) -> list[Stored]:
    if room <= 0:
        return []
    if include.reverse:
        candidates = await _referrers(context, include, sources, seen, room)
    else:
        keys = [key for key in _targets(context, include, sources) if key not in seen][:room]
        candidates = await context.store.read_many(context.visibility, keys)
    added = [stored for stored in candidates if (stored.type, stored.id) not in seen]
    seen.update((stored.type, stored.id) for stored in added)
    return added


def _targets(context: Context, include: Include, sources: Iterable[Stored]) -> list[Key]:
    """List (type, id) of what the sources refer to by the include's parameter, in order, each once."""
    keys: dict[Key, None] = {}
    for stored in sources:
        if include.type not in (stored.type, "*"):
            continue
        for param, target in context.services.extractor.from_body(stored.type, stored.body).references:
            type_, _, id_ = target.partition("/")
            wanted = include.param in (param, "*") and include.target in (type_, None)
            if wanted and id_ and "/" not in id_ and ":" not in target:
                keys[type_, id_] = None
    return list(keys)


async def _referrers(
    context: Context, include: Include, sources: Iterable[Stored], seen: set[Key], room: int
) -> list[Stored]:
    targets = tuple(
        f"{stored.type}/{stored.id}" for stored in sources if include.target in (stored.type, None)
    )
    if not targets:
        return []
    where = _refers(context, include, targets)
    page = await context.store.search(context.visibility, Query(include.type, where, count=room + len(seen)))
    return [stored for stored in page.matches if (stored.type, stored.id) not in seen][:room]


def _refers(context: Context, include: Include, targets: tuple[str, ...]) -> Predicate:
    if include.param != "*":
        return Where(include.param, ReferenceIs(targets))
    known = context.services.known.registry.parameters(include.type)
    references = [each.code for each in known.values() if each.type == "reference"]
    return any_of(Where(code, ReferenceIs(targets)) for code in references)
