"""Search: one type, or one type within a compartment, with what _include and _revinclude add.

https://hl7.org/fhir/R4/http.html#search and https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.conditional import options
from fhir_server.interactions.context import Context
from fhir_server.interactions.include import included
from fhir_server.interactions.pages import link, next_link, opened
from fhir_server.interactions.request import Reply
from fhir_server.interactions.shape import Shape
from fhir_server.resources.bundle import searchset
from fhir_server.resources.compartment import parameters as compartment_parameters
from fhir_server.resources.outcome import outcome
from fhir_server.search.parse import parse
from fhir_server.search.predicate import Predicate, ReferenceIs, Where, all_of, any_of
from fhir_server.store.api import Stored


async def search_type(context: Context) -> Reply:
    """Return one page of the resources of a type that match."""
    return await _search(context, context.type, f"search/{context.type}", context.type)


async def search_compartment(context: Context) -> Reply:
    """Return one page of the resources of a type that belong to a compartment and match.

    https://hl7.org/fhir/R4/http.html#vsearch
    """
    compartment = context.request.compartment
    if compartment is None or context.request.type is None:
        raise Fault(
            Kind.NOT_IMPLEMENTED, "Name one type to search in the compartment, e.g. Patient/1/Observation."
        )
    name, id_ = compartment
    path = f"{name}/{id_}/{context.type}"
    return await _search(context, path, f"search/{path}", context.type, membership(name, id_, context.type))


def membership(compartment: str, id_: str, type_: str) -> Predicate:
    """Return the predicate that puts a ``type_`` into a compartment; Nothing when it never is in one."""
    target = ReferenceIs((f"{compartment}/{id_}",))
    return any_of(Where(param, target) for param in compartment_parameters(compartment, type_))


async def _search(
    context: Context, path: str, scope: str, type_: str, within: Predicate | None = None
) -> Reply:
    parameters, position = opened(context, scope)
    strict = context.request.prefer_strict is not False
    search = parse(type_, parameters, options(context, strict=strict))
    query = replace(search.query, after=position)
    if within is not None:
        query = replace(query, where=all_of((within, query.where)))
    page = await context.store.search(context.visibility, query)
    extra, warnings = await included(context, search.includes, page.matches)
    links = [("self", link(context.request.base, path, search.understood))]
    if page.next is not None:
        links.append(("next", next_link(context, path, scope, search.understood, page.next)))
    shape = Shape(search.elements, search.summary)
    issues = (*search.ignored, *warnings)
    body = searchset(
        page.total,
        links,
        [(_address(context, stored), shape.of(stored.body)) for stored in page.matches],
        [(_address(context, stored), shape.of(stored.body)) for stored in extra],
        outcome(issues) if issues else None,
    )
    return Reply(200, body)


def _address(context: Context, stored: Stored) -> str:
    return f"{context.request.base}/{stored.type}/{stored.id}"
