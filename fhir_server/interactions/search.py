"""Search: one type, all types, or what lies in a compartment, with what _include and _revinclude add.

https://hl7.org/fhir/R4/http.html#search and https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.frozen import frozen
from fhir_server.interactions.codes import informed
from fhir_server.interactions.conditional import options
from fhir_server.interactions.contained import Shown, contained, containers
from fhir_server.interactions.context import Context
from fhir_server.interactions.include import included
from fhir_server.interactions.lists import LIST, among, members
from fhir_server.interactions.merge import merged
from fhir_server.interactions.omitted import omitted
from fhir_server.interactions.pages import opened_cursor, page_links, search_path, search_scope
from fhir_server.interactions.request import Reply
from fhir_server.interactions.rights import require_open
from fhir_server.interactions.shape import Shape
from fhir_server.interactions.understood import TYPE, several, types_of
from fhir_server.resources.bundle import searchset
from fhir_server.resources.compartment import member_types
from fhir_server.resources.compartment import parameters as compartment_parameters
from fhir_server.resources.outcome import outcome
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.page import Cursor
from fhir_server.search.parse import Search, parse
from fhir_server.search.predicate import EVERYTHING, IdIn, Predicate, ReferenceIs, Where, all_of, any_of
from fhir_server.search.query import Position, Query
from fhir_server.store.api import Page, Stored

Parameters = tuple[tuple[str, str], ...]


@frozen
class _Scope:
    """Where is searched: which type (None: several), what narrows each type."""

    type: str | None
    types: tuple[str, ...]
    within: Callable[[str], Predicate]


async def search_type(context: Context) -> Reply:
    """Return one page of the resources of a type that match."""
    return await _search(context, _Scope(context.type, (), _anywhere))


async def search_system(context: Context) -> Reply:
    """Return one page of the resources of all types, or of those that ``_type`` names, that match."""
    return await _search(context, _Scope(None, tuple(sorted(RESOURCE_TYPES)), _anywhere))


async def search_compartment(context: Context) -> Reply:
    """Return one page of what belongs to a compartment and matches, of one type or of all.

    https://hl7.org/fhir/R4/http.html#vsearch
    """
    compartment = context.request.compartment
    if compartment is None:
        raise Fault(Kind.BAD_REQUEST, "Name the compartment, e.g. Patient/1/Observation.")
    name, id_ = compartment
    type_ = context.request.type
    types = () if type_ else member_types(name)
    return await _search(context, _Scope(type_, types, lambda each: membership(name, id_, each)))


def membership(compartment: str, id_: str, type_: str) -> Predicate:
    """Return the predicate that puts a ``type_`` into a compartment; Nothing when it never is in one."""
    target = ReferenceIs((f"{compartment}/{id_}",))
    belongs: list[Predicate] = [Where(param, target) for param in compartment_parameters(compartment, type_)]
    # The resource that a compartment is named for is a member of it.
    return any_of([IdIn((id_,)), *belongs] if type_ == compartment else belongs)


def _anywhere(_: str) -> Predicate:
    return EVERYTHING


async def _search(context: Context, scope: _Scope) -> Reply:
    sealed = search_scope(context.request)
    cursor = opened_cursor(context, sealed)
    parameters = context.request.parameters if cursor is None else cursor.parameters
    search, page, matches = await _found(context, scope, parameters, cursor)
    extra, warnings = await included(context, search.includes, page.matches)
    shape = Shape(search.elements, search.summary)
    issues = (*omitted(context), *search.ignored, *warnings, *_explained(context, page.plan))
    body = searchset(
        page.total,
        page_links(context, search_path(context.request), sealed, search.understood, page),
        [(url, shape.of(body)) for url, body in matches],
        [(_address(context, stored), shape.of(stored.body)) for stored in extra],
        outcome(issues) if issues else None,
    )
    return Reply(200, body)


async def _found(
    context: Context, scope: _Scope, parameters: Parameters, cursor: Cursor | None
) -> tuple[Search, Page, list[Shown]]:
    """Parse the parameters and fetch the page, with what is shown of it.

    ``understood`` of the Search is of all parameters.
    """
    lists = [value for name, value in parameters if name == LIST]
    rest = tuple(pair for pair in parameters if pair[0] != LIST) if lists else parameters
    named = await members(context, lists) if lists else {}
    how = options(context, strict=context.request.prefer_strict is not False)
    # What is contained belongs to no compartment and is on no list.
    how = replace(how, contained=scope.type is not None and scope.within is _anywhere and not lists)
    types = types_of(rest, scope.types) if scope.type is None else [scope.type]
    how = await informed(context, types, tuple(pair for pair in rest if pair[0] != TYPE), how)
    if scope.type is None:
        search, queries = several(rest, types, scope.types, how)
    else:
        search = parse(scope.type, rest, how)
        queries = [search.query]
    if lists:
        kept = {*search.understood, *((LIST, value) for value in lists)}
        search = replace(search, understood=tuple(pair for pair in parameters if pair in kept))
    if search.contained != "false":
        queries = containers(context, search)
    queries = [_narrowed(query, scope, named if lists else None) for query in queries]
    for query in queries:
        require_open(context.visibility, query.where)
    if context.request.prefer_explain and context.visibility.is_everything:
        queries = [replace(query, explain=True) for query in queries]
    position = None if cursor is None else cursor.position
    back = cursor is not None and cursor.back
    if search.contained != "false":
        return search, *await contained(context, search, queries, position, back=back)
    if scope.type is None:
        page = await merged(context, queries, position, back=back)
    else:
        page = await context.store.search(context.visibility, _placed(queries[0], position, back=back))
    return search, page, [(_address(context, stored), stored.body) for stored in page.matches]


def _narrowed(query: Query, scope: _Scope, named: Mapping[str, set[str]] | None) -> Query:
    within = scope.within(query.type)
    if within is EVERYTHING and named is None:
        return query
    where = [within, query.where]
    if named is not None:
        where.append(among(named, query.type))
    return replace(query, where=all_of(where))


def _placed(query: Query, position: Position | None, *, back: bool) -> Query:
    if position is None:
        return query
    return replace(query, before=position) if back else replace(query, after=position)


def _explained(context: Context, plan: Mapping[str, Any] | None) -> list[Issue]:
    """Tell an administrator who prefers it how the search was carried out; others learn that it is theirs."""
    if not context.request.prefer_explain:
        return []
    if plan is None:
        words = "Only who may see everything is told how a search is carried out."
        return [Issue("information", "informational", words)]
    return [Issue("information", "informational", msgspec.json.encode(plan).decode())]


def _address(context: Context, stored: Stored) -> str:
    return f"{context.request.base}/{stored.type}/{stored.id}"
