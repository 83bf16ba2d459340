"""Page links: a sealed token that holds the whole search, so that nothing a caller searched for is in a URL.

A token is bound to what was asked and to what its caller may see; anyone else's is 404, and rights are
decided anew on every page. https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Request
from fhir_server.search import page
from fhir_server.search.page import Cursor
from fhir_server.search.query import Position
from fhir_server.store.api import Page

Parameters = tuple[tuple[str, str], ...]

PAGE = "_page"
"""The parameter that carries the token."""


def search_path(request: Request) -> str:
    """Return the path below the base at which a search goes on; for all types it is the base itself."""
    if request.compartment is None:
        return request.type or ""
    return f"{'/'.join(request.compartment)}/{request.type or '*'}"


def search_scope(request: Request) -> str:
    """Return what the page links of a search are sealed for."""
    return f"search/{search_path(request)}"


def link(base: str, path: str, parameters: Parameters) -> str:
    """Return the address of a search or history as it was understood."""
    address = f"{base}/{path}" if path else base
    return f"{address}?{urlencode(parameters)}" if parameters else address


def next_link(context: Context, path: str, scope: str, parameters: Parameters, position: Position) -> str:
    """Return the address of the page after ``position`` of what ``scope`` and ``parameters`` ask for."""
    return _sealed(context, path, scope, Cursor(parameters, position))


def page_links(
    context: Context, path: str, scope: str, parameters: Parameters, found: Page
) -> list[tuple[str, str]]:
    """Return the links of a page of a search: self, and first, next, previous where there are more pages."""
    itself = link(context.request.base, path, parameters)
    links = [("self", itself)]
    if found.next is not None or found.previous is not None:
        links.append(("first", itself))
    if found.next is not None:
        links.append(("next", _sealed(context, path, scope, Cursor(parameters, found.next))))
    if found.previous is not None:
        links.append(("previous", _sealed(context, path, scope, Cursor(parameters, found.previous, True))))
    return links


def opened(context: Context, scope: str) -> tuple[Parameters, Position | None]:
    """Return the parameters and position of this request: those of its page link if it is one."""
    cursor = opened_cursor(context, scope)
    return (context.request.parameters, None) if cursor is None else (cursor.parameters, cursor.position)


def opened_cursor(context: Context, scope: str) -> Cursor | None:
    """Return what this request's page link holds; None when the request is no page link."""
    parameters = context.request.parameters
    token = next((value for name, value in parameters if name == PAGE), None)
    if token is None:
        return None
    if len(parameters) > 1:
        raise Fault(Kind.BAD_REQUEST, "A page link takes no further parameters; start the search anew.")
    return page.unseal(context.services.page_key, scope, context.visibility.fingerprint, token)


def _sealed(context: Context, path: str, scope: str, cursor: Cursor) -> str:
    token = page.seal(context.services.page_key, scope, context.visibility.fingerprint, cursor)
    base = context.request.base
    # A token needs no escapes.
    return f"{base}/{path}?{PAGE}={token}" if path else f"{base}?{PAGE}={token}"
