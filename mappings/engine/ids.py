"""Identities that stay however often a message comes: joined keys, urn:uuid, conditional addresses."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from urllib.parse import quote, unquote
from uuid import UUID

_NAMESPACE = UUID("5f2f3a56-6f0b-5c39-9b9f-0d5f0f6c9d3e").bytes
"""Of all urn:uuid that are made here. Change it and everything that was sent gets another fullUrl."""


def join(values: tuple[str, ...]) -> str:
    """Join the parts of a key by ``/``, escaped as RFC 6901 does, so that ``split`` finds them again."""
    if len(values) == 1:
        return values[0]
    return "/".join(value.replace("~", "~0").replace("/", "~1") for value in values)


def split(value: str, count: int) -> tuple[str, ...] | None:
    """Return the ``count`` parts of a joined key; None when it has another number of parts."""
    if count == 1:
        return (value,)
    parts = value.split("/")
    if len(parts) != count:
        return None
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def full_url(type_: str, system: str, value: str) -> str:
    """Return the urn:uuid of a resource by its business identity (a version 5 UUID, RFC 4122 section 4.3)."""
    # hashlib itself, not uuid.uuid5: this runs for each resource, and a UUID object costs more than the hash.
    digest = sha1(
        _NAMESPACE + f"{type_}|{system}|{value}".encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"urn:uuid:{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def token(system: str, value: str) -> str:
    """Write a token search value, percent-encoded. https://hl7.org/fhir/R4/search.html#escaping"""
    if value.isascii() and value.isalnum():
        return _of_system(system) + value
    return _of_system(system) + quote(escape(value), safe=":/.~-_")


@lru_cache(maxsize=1024)
def _of_system(system: str) -> str:
    """Return the first half of a token: a run names few systems, and many values of each."""
    return quote(f"{escape(system)}|", safe=":/.~-_")


def escape(text: str) -> str:
    r"""Put a backslash before what a search value would be split at: ``$``, ``,``, ``|`` and ``\``."""
    if text.isalnum():
        return text
    return text.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,").replace("$", "\\$")


def condition(type_: str, system: str, value: str, search: str = "identifier") -> str:
    """Return ``Type?identifier=system|value``, the address of a conditional update or reference.

    ``search``: another search parameter, as ``_has:Encounter:patient:identifier``.
    """
    return f"{type_}?{search}={token(system, value)}"


def parse_condition(reference: str) -> tuple[str, str, str] | None:
    """Read ``Type?identifier=system|value`` as (type, system, value); None for any other reference.

    The parameter may also end in identifier (``_has:Encounter:patient:identifier``): the identity is then
    that of what refers to the resource.
    """
    type_, asked, query = reference.partition("?")
    parameter, _, value = query.partition("=")
    if not asked or "&" in value or parameter.rpartition(":")[2] != "identifier":
        return None
    parts = _split_token(unquote(value))
    return (type_, *parts) if parts else None


def _split_token(text: str) -> tuple[str, str] | None:
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "")
        elif character == "|":
            parts.append("")
        else:
            parts[-1] += character
    return (parts[0], parts[1]) if len(parts) == 2 else None
