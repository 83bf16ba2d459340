"""Header fields that set conditions or preferences: If-Match, If-None-Match, If-Modified-Since, Prefer.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#ops,
https://www.rfc-editor.org/rfc/rfc9110#section-13.1 and https://www.rfc-editor.org/rfc/rfc7240
"""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from fhir_server.faults import Fault, Kind

PreferReturn = Literal["minimal", "representation", "OperationOutcome"]

_RETURNS: dict[str, PreferReturn] = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}
_HANDLING = {"strict": True, "lenient": False}
_fits_etag = re.compile(r'(?:[Ww]/)?"([A-Za-z0-9\-.]{1,64})"').fullmatch


class Preferences(NamedTuple):
    """What Prefer asks for; None where it asks for nothing that the server knows.

    ``explain``, this server's own: tell how a search was carried out.
    """

    return_: PreferReturn | None = None
    strict: bool | None = None
    explain: bool = False


@lru_cache(maxsize=128)
def etags(field: bytes) -> str:
    """Read If-Match or If-None-Match: ``*``, or the version ids that the entity tags name, joined by commas.

    ``W/"3"`` gives ``3``; ``W/"3", "4"`` gives ``3,4``. Fault BAD_REQUEST when it is neither.
    """
    text = field.decode("latin-1").strip()
    if text == "*":
        return text
    found = [_fits_etag(item.strip()) for item in text.split(",")]
    versions = [tag.group(1) for tag in found if tag is not None]
    if len(versions) != len(found):
        raise Fault(
            Kind.BAD_REQUEST, 'If-Match and If-None-Match take W/"3" (a version), a list of these, or *.'
        )
    return ",".join(versions)


def modified_since(field: bytes) -> int | None:
    """Read If-Modified-Since in ms since the epoch; no HTTP-date is None, as RFC 9110 13.1.3 demands."""
    try:
        moment = parsedate_to_datetime(field.decode("latin-1"))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    # The obsolete forms carry no zone; an HTTP-date is always GMT.
    return timegm(moment.utctimetuple()) * 1000


def criteria(field: bytes) -> str:
    """Read If-None-Exist: the criteria of a conditional create, still percent-encoded, without ``?``.

    https://hl7.org/fhir/R4/http.html#ccreate. Fault BAD_REQUEST when it is empty or not ASCII.
    """
    try:
        text = field.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise Fault(Kind.BAD_REQUEST, "If-None-Exist is ASCII; percent-encode other characters.") from error
    head, mark, tail = text.partition("?")
    if mark and "=" not in head:  # some clients send the whole search address
        text = tail
    if not text:
        raise Fault(
            Kind.BAD_REQUEST, "If-None-Exist is empty; give criteria such as identifier=system|value."
        )
    return text


@lru_cache(maxsize=128)
def preferences(prefer: bytes) -> Preferences:
    """Read Prefer. What is not known is ignored, as RFC 7240 demands; the first of a name wins."""
    found: dict[str, str] = {}
    for item in re.split("[,;]", prefer.decode("latin-1")):
        name, _, value = item.partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return Preferences(
        _RETURNS.get(found.get("return", "")), _HANDLING.get(found.get("handling", "")), "explain" in found
    )
