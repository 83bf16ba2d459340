"""Page links: a sealed token that holds the whole search, so that nothing a caller searched for is in a URL.

A token is bound to what was asked and to what its caller may see; anyone else's is 404, and rights are
decided anew on every page. https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.search import page
from fhir_server.search.query import Position

Parameters = tuple[tuple[str, str], ...]

PAGE = "_page"
"""The parameter that carries the token."""


def link(base: str, path: str, parameters: Parameters) -> str:
    """Return the address of a search or history as it was understood."""
    address = f"{base}/{path}" if path else base
    return f"{address}?{urlencode(parameters)}" if parameters else address


def next_link(context: Context, path: str, scope: str, parameters: Parameters, position: Position) -> str:
    """Return the address of the page after ``position`` of what ``scope`` and ``parameters`` ask for."""
    token = page.seal(
        context.services.page_key, scope, context.visibility.fingerprint, page.Cursor(parameters, position)
    )
    return link(context.request.base, path, ((PAGE, token),))


def opened(context: Context, scope: str) -> tuple[Parameters, Position | None]:
    """Return the parameters and position of this request: those of its page link if it is one."""
    parameters = context.request.parameters
    token = next((value for name, value in parameters if name == PAGE), None)
    if token is None:
        return parameters, None
    if len(parameters) > 1:
        raise Fault(Kind.BAD_REQUEST, "A page link takes no further parameters; start the search anew.")
    cursor = page.unseal(context.services.page_key, scope, context.visibility.fingerprint, token)
    return cursor.parameters, cursor.position
