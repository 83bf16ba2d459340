"""Decode a request's body by its Content-Type: a resource, a patch, or a form of search parameters.

https://hl7.org/fhir/R4/http.html#mime-type and https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Content as Raw
from fhir_server.resources.codec import decode, decode_patch
from fhir_server.resources.xml import decode_xml
from fhir_server.rest.negotiate import Content, content_of
from fhir_server.rest.percent import Pairs, parse_query

if TYPE_CHECKING:
    from fhir_server.interactions.request import Tree

METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
MAX_FORM_BYTES = 1024 * 1024
"""Longest form of search parameters, in bytes; an honest one has a few kilobytes."""

_SEARCHES = frozenset({"search-type", "search-system", "search-compartment"})
_OF_ANY_MEDIA = frozenset({"$convert"})
"""Operations that take content of other formats as their body."""
_EXPLICIT = frozenset({b"application/fhir+json", b"application/fhir+xml"})


class Body(NamedTuple):
    """A body: at most one of the four is there."""

    tree: Tree | None = None
    patch: list[Any] | None = None
    form: Pairs = ()
    content: Raw | None = None


def limit_for(name: str, most: int) -> int:
    """Return the largest body, in bytes, of the interaction ``name``, where ``most`` is the setting."""
    return min(most, MAX_FORM_BYTES) if name in _SEARCHES else most


def is_content(operation: str | None, content_type: bytes, query: Pairs) -> bool:
    """Tell whether a body is content of another format, which the operation reads itself.

    The media types of FHIR by name are FHIR. The generic ones (``application/json``) are content when the
    address says of which format, for then the body need not.
    """
    if operation not in _OF_ANY_MEDIA:
        return False
    if content_type.partition(b";")[0].strip().lower() in _EXPLICIT:
        return False
    if any(name == "format" for name, _ in query):
        return True
    try:
        content_of(content_type)
    except Fault:
        return bool(content_type)
    return False


def decode_body(name: str, method: str, content_type: bytes, raw: bytes, *, max_depth: int) -> Body:
    """Decode ``raw`` as the interaction ``name`` needs it.

    Faults: UNSUPPORTED_MEDIA when the Content-Type does not fit the interaction, SYNTAX when the bytes do not
    fit the Content-Type, BAD_REQUEST when a body is missing.
    """
    if not raw.strip():
        return _nothing(name, method)
    content = content_of(content_type)
    if name in _SEARCHES:
        if content is not Content.FORM:
            raise Fault(Kind.UNSUPPORTED_MEDIA, "_search takes application/x-www-form-urlencoded.")
        return Body(form=parse_query(raw))
    if content is Content.JSON:
        return Body(decode(raw, max_depth=max_depth))
    if content is Content.XML:
        return Body(decode_xml(raw, max_depth=max_depth))
    if content is Content.JSON_PATCH and name == "patch":
        return Body(patch=decode_patch(raw, max_depth=max_depth))
    raise Fault(
        Kind.UNSUPPORTED_MEDIA,
        "This Content-Type does not fit the interaction: a JSON Patch goes with PATCH, a form with _search, "
        "anything else takes application/fhir+json or application/fhir+xml.",
    )


def _nothing(name: str, method: str) -> Body:
    if name in _SEARCHES or name == "operation":
        return Body()
    raise Fault(Kind.BAD_REQUEST, f"The body is empty; {method} needs a resource.")
