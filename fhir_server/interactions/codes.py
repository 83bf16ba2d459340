"""What ``:in``, ``:not-in``, ``:above`` and ``:below`` need: stored value sets and code systems, expanded.

Looked up by canonical URL, or as ``ValueSet/id``; those that R4 binds codes to are built in. An expansion is
kept as long as every resource that it was made of still has the version that it was made of.
https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.expansions import Version
from fhir_server.resources.codec import decode
from fhir_server.search.needs import Answers, InValueSet, Need, needs
from fhir_server.search.predicate import TokenIs, UriIs, Where, all_of
from fhir_server.search.query import Query, Sort
from fhir_server.search.terms import Codes, Options
from fhir_server.store.api import Stored
from fhir_server.terminology.expand import expand, subsumed
from fhir_server.terminology.library import Canonical, Library, UnknownCanonical

Parameters = tuple[tuple[str, str], ...]
_MOST_RESOURCES = 200


async def informed(
    context: Context, types: Iterable[str], parameters: Parameters, options: Options
) -> Options:
    """Return ``options`` with the answers to all that a search of ``types`` asks of terminology.

    400 for a value set or code system that is not known here, or that the caller may not see.
    """
    asked = {need for type_ in types for need in needs(type_, parameters, options)}
    if not asked:
        return options
    answers = {need: await _answer(context, need) for need in sorted(asked, key=repr)}
    return replace(options, terminology=Answers(answers))


async def _answer(context: Context, need: Need) -> Codes:
    expansions = context.services.expansions
    kept = expansions.get(need)
    if kept is not None and await _is_fresh(context, kept[0]):
        return kept[1]
    library, made_of = Library(), dict[Canonical, Version]()
    while True:
        try:
            # Off the event loop: twenty thousand codes take a while, and others are waiting.
            codes = await asyncio.to_thread(_codes, need, library)
        except UnknownCanonical as missing:
            stored = await _find(context, missing.canonical)
            if stored is None or missing.canonical in made_of:
                raise
            if len(made_of) >= _MOST_RESOURCES:
                raise Fault(
                    Kind.TOO_COSTLY,
                    f"The value set is built on more than {_MOST_RESOURCES} others; store its expansion.",
                ) from None
            made_of[missing.canonical] = (stored.id, stored.version)
            library.add(_named(decode(stored.body), missing.canonical[1]))
        else:
            expansions.put(need, made_of, codes)
            return codes


def _codes(need: Need, library: Library) -> Codes:
    if isinstance(need, InValueSet):
        return expand(need.value_set, library)
    return subsumed(need.system, need.code, need.direction, library)


def _named(tree: dict[str, object], canonical: str) -> dict[str, object]:
    """Return the resource under the name that it was asked for by, which may be its address here."""
    url, _, version = canonical.partition("|")
    return {**tree, "url": url, **({"version": version} if version else {})}


async def _is_fresh(context: Context, made_of: dict[Canonical, Version]) -> bool:
    for canonical, version in made_of.items():
        stored = await _find(context, canonical)
        if stored is None or (stored.id, stored.version) != version:
            return False
    return True


async def _find(context: Context, canonical: Canonical) -> Stored | None:
    """Return the current resource of that name, the newest of several; None when there is none to see."""
    type_, name = canonical
    if name.startswith(f"{type_}/"):
        stored = await context.store.read(context.visibility, type_, name.removeprefix(f"{type_}/"))
        return None if stored is None or stored.deleted else stored
    url, _, version = name.partition("|")
    where = [Where("url", UriIs(url))]
    if version:
        where.append(Where("version", TokenIs(None, version)))
    newest = (Sort("_lastUpdated", descending=True),)
    page = await context.store.search(context.visibility, Query(type_, all_of(where), newest, count=1))
    return page.matches[0] if page.matches else None
