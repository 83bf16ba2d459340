"""References that say whom a resource is about, and are spelt so that they lead to nobody.

``Patient/1#x`` or ``patient/1`` would make a record one about no patient, whom no consent hides.
https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from fhir_server.resources.reference import Reference, parse
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.search.expressions import Get, paths
from fhir_server.search.parameters import parameters
from fhir_server.search.subjects import parameters as deciding

_PLAIN: Final = re.compile(r"(?:Patient|Practitioner|Organization|Group)/[A-Za-z0-9\-.]{1,64}").fullmatch
"""What nearly all are, and need not be taken apart for."""
_PATIENT: Final = "Patient"
_PORTS: Final = {"http": 80, "https": 443}


def misspelt(tree: dict[str, Any], base: str = "") -> list[str]:
    """Return the FHIRPaths of a resource's references that decide whom it is about and lead nowhere.

    Right are ``Type/id``, with a version or below ``base`` (this server's address, no slash at the end), what
    lies elsewhere, URNs, and what the resource contains. What names another type is not looked at: whatever
    it leads to is no patient.
    """
    type_ = str(tree.get("resourceType", ""))
    return [
        path
        for keys in _elements(type_)
        for path, reference in _references(tree, keys, type_)
        if not _PLAIN(reference) and _leads_nowhere(parse(reference, base), base)
    ]


@cache
def _elements(type_: str) -> tuple[tuple[str, ...], ...]:
    """Return the names on the way to each element that decides whom a ``type_`` is about."""
    known = parameters(type_) if type_ in RESOURCE_TYPES else {}
    found = (
        tuple(step.key for step in path.steps if isinstance(step, Get))
        for code in (deciding(type_) if known else ())
        for path in paths(known[code].expression, type_)
        if path.type == "Reference"
    )
    return tuple(dict.fromkeys(found))


def _references(node: Any, keys: tuple[str, ...], path: str) -> Iterator[tuple[str, str]]:
    """Yield the literal references below a node, whatever its shape, each with its FHIRPath."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _references(item, keys, f"{path}[{index}]")
    elif isinstance(node, dict):
        if keys:
            if keys[0] in node:
                yield from _references(node[keys[0]], keys[1:], f"{path}.{keys[0]}")
        elif isinstance(node.get("reference"), str):
            yield f"{path}.reference", node["reference"]


def _leads_nowhere(found: Reference, base: str) -> bool:
    match found.form:
        case "relative" | "urn" | "fragment":
            return False
        case "conditional":
            return found.type == _PATIENT
        case "absolute":
            return _is_here(found.text, base)
        case _:
            named = found.text.partition("/")[0]
            return named == _PATIENT or named not in RESOURCE_TYPES


def _is_here(text: str, base: str) -> bool:
    """Tell whether a URL is one of this server though it does not begin as it should."""
    try:
        url, own = urlsplit(text), urlsplit(base)
        return _place(url) == _place(own) and f"{url.path}/".lower().startswith(f"{own.path}/".lower())
    except ValueError:  # a port or an address that is none: nobody's
        return False


def _place(url: SplitResult) -> tuple[str | None, int | None]:
    """Return host and port; those of http and https alike where none is given, for either may be meant."""
    port = url.port
    return url.hostname, None if port in (None, _PORTS.get(url.scheme)) else port
