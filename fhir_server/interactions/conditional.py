"""Criteria instead of an id: find the one resource that is meant, and hold the store to that finding.

Criteria are always read strictly: a parameter that is not understood would otherwise widen what is written.
https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from fhir_server.access.bearer import insufficient
from fhir_server.clock import now_ms
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.codes import informed
from fhir_server.interactions.context import Context
from fhir_server.interactions.rights import require_open
from fhir_server.search.parse import Options, parse
from fhir_server.search.predicate import Everything
from fhir_server.search.query import Query
from fhir_server.store.api import Expectation, Stored

Parameters = tuple[tuple[str, str], ...]


def options(context: Context, *, strict: bool) -> Options:
    """Return how this server reads search parameters."""
    settings = context.settings
    return Options(
        zone=settings.zone,
        default_count=settings.default_count,
        max_count=settings.max_count,
        strict=strict,
        base=context.request.base,
        now=now_ms(),
        registry=context.services.known.registry,
        full_text=settings.full_text,
    )


def criteria(text: str) -> Parameters:
    """Split a query string into names and values; 400 when it is not UTF-8."""
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict"))
    except ValueError as error:
        raise Fault(
            Kind.BAD_REQUEST, "The criteria are no query string such as identifier=system|value."
        ) from error


async def find(context: Context, type_: str, parameters: Parameters) -> tuple[Stored | None, Expectation]:
    """Return the one match, or None, and the expectation that a commit must still find true.

    412 when several match, 400 when the criteria select nothing in particular.
    """
    if not context.decision.permits("s", type_):
        raise insufficient(f"Criteria are a search: your scopes do not include to search {type_} (.s).")
    visibility = context.decision.visibility("s")
    how = await informed(context, (type_,), parameters, options(context, strict=True))
    where = parse(type_, parameters, how).query.where
    if isinstance(where, Everything):
        raise Fault(
            Kind.BAD_REQUEST,
            f"The criteria match every {type_}; name at least one search parameter with a value.",
        )
    require_open(visibility, where)
    page = await context.store.search(visibility, Query(type_, where, count=2))
    if len(page.matches) > 1:
        raise Fault(
            Kind.MULTIPLE_MATCHES,
            f"The criteria match more than one {type_}; use criteria that only one resource meets.",
        )
    found = page.matches[0] if page.matches else None
    ids = (found.id,) if found else ()
    return found, Expectation(type_, where, visibility, ids)
