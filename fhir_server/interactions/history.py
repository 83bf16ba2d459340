"""History: the versions of one resource, of a type, or of all, newest first, in pages.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from fhir_server.clock import instant
from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.pages import link, next_link, opened
from fhir_server.interactions.request import Reply
from fhir_server.interactions.times import time_span
from fhir_server.resources.bundle import HistoryEntry, history_bundle
from fhir_server.search.query import Position
from fhir_server.store.api import HistoryQuery, Stored

_KNOWN = {"_since", "_at", "_count"}


async def history(context: Context) -> Reply:
    """Return one page of versions; 404 for an instance that never existed."""
    request = context.request
    scope = f"history/{request.type}/{request.id}"
    parameters, position = opened(context, scope)
    query = _query(context, parameters, position)
    page = await context.store.history(context.visibility, query)
    if request.id is not None and page.total == 0 and query.since is None and query.at is None:
        raise Fault(Kind.NOT_FOUND, f"{request.type}/{request.id} is not known here.")
    path = "/".join(part for part in (request.type, request.id, "_history") if part)
    links = [("self", link(request.base, path, parameters))]
    if page.next is not None:
        links.append(("next", next_link(context, path, scope, parameters, Position((), page.next))))
    entries = [_entry(request.base, version) for version in page.versions]
    return Reply(200, history_bundle(page.total, links, entries))


def _query(
    context: Context, parameters: tuple[tuple[str, str], ...], position: Position | None
) -> HistoryQuery:
    values: dict[str, str] = {}
    for name, value in parameters:
        if name not in _KNOWN:
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER, f"History takes _since, _at and _count, not {name[:64]!r}."
            )
        if name in values:
            raise Fault(Kind.BAD_PARAMETER, f"Give {name} once.")
        values[name] = value
    zone = context.settings.zone
    since = time_span(values, "_since", zone)
    at = time_span(values, "_at", zone)
    return HistoryQuery(
        type=context.request.type,
        id=context.request.id,
        since=since[0] if since else None,
        at=at,
        count=_count(context, values.get("_count")),
        before=position.tie if position else None,
    )


def _count(context: Context, text: str | None) -> int:
    if text is None:
        return context.settings.default_count
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Fault(Kind.BAD_PARAMETER, "_count is a whole number, 0 or more.")
    return min(int(text), context.settings.max_count)


def _entry(base: str, version: Stored) -> HistoryEntry:
    created = version.version == 1
    return HistoryEntry(
        full_url=f"{base}/{version.type}/{version.id}",
        body=version.body,
        method=version.method,
        url=version.type if version.method == "POST" else f"{version.type}/{version.id}",
        status="204" if version.deleted else "201" if created else "200",
        etag=f'W/"{version.version}"',
        modified=instant(version.updated),
    )
