"""What a literal reference leads to, as the index spells it.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

from fhir_server.resources.types import RESOURCE_TYPES


def local(reference: str, base: str = "") -> str | None:
    """Return ``Type/id`` for a reference to this server, else the whole URL or URN; None for a contained one.

    ``base`` is the server's address without a trailing slash. A version is dropped from a local reference:
    search matches resources, whichever version was meant. https://hl7.org/fhir/R4/search.html#reference
    """
    if not reference or reference[0] == "#":
        return None
    if base and reference.startswith(base) and reference[len(base) : len(base) + 1] == "/":
        reference = reference[len(base) + 1 :]
    if ":" in reference:
        return reference
    return reference.partition("/_history/")[0]


def type_of(reference: str) -> str | None:
    """Return the resource type that a literal reference names; None when it names none (URNs, fragments)."""
    segments = reference.partition("/_history/")[0].rsplit("/", 2)
    if len(segments) > 1 and segments[-2] in RESOURCE_TYPES:
        return segments[-2]
    return None


def paths_above(url: str) -> tuple[str, ...]:
    """Return an http address and every path above it, down to the host, without a slash at the end.

    ``http://a/b/c`` → itself, ``http://a/b``, ``http://a``. Nothing for a URN: it has no hierarchy.
    https://hl7.org/fhir/R4/search.html#uri
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ("http", "https") or not rest.strip("/"):
        return ()
    segments = rest.rstrip("/").split("/")[:_DEEPEST_PATH]
    return tuple(f"{scheme}://{'/'.join(segments[:end])}" for end in range(len(segments), 0, -1))


_DEEPEST_PATH = 24
