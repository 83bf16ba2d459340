"""Literal references: which type they name, and whether that type is allowed there.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from typing import Any

from fhir_server.resources.types import RESOURCE_TYPES

_ID = r"[A-Za-z0-9\-.]{1,64}"
_LITERAL = re.compile(
    rf"(?:[A-Za-z][A-Za-z0-9+.\-]*://.+/)?([A-Z][A-Za-z]+)/{_ID}(?:/_history/{_ID})?(?:#.*)?", re.DOTALL
)
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?.+", re.DOTALL)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")

UNKNOWN = ""
"""The reference names no type that can be known from its text (a urn, a URL of another shape)."""

KNOWN: dict[str, str] = {}
"""Reference → type name, for those already seen; bounded, see ``named_type``."""
_MEMO_SIZE = 8192


def named_type(reference: str) -> str | None:
    """Return the type that a reference names, ``UNKNOWN`` when it names none, None when malformed.

    Malformed: blank, with spaces, or relative to a type that R4 does not have. Absolute URLs may point to any
    server, so their last words count only when they are a type of R4.
    """
    found = KNOWN.get(reference)
    if found is None:
        found = _read(reference)
        if found is not None and len(reference) <= 200:
            if len(KNOWN) >= _MEMO_SIZE:
                KNOWN.clear()
            KNOWN[reference] = found
    return found


def _read(reference: str) -> str | None:
    if not reference.isprintable() or any(character.isspace() for character in reference) or not reference:
        return None
    match = _LITERAL.fullmatch(reference) or _CONDITIONAL.fullmatch(reference)
    if match is None:
        return UNKNOWN
    name = match.group(1)
    if name in RESOURCE_TYPES:
        return name
    return UNKNOWN if _ABSOLUTE.match(reference) else None


def contained(root: Any, fragment: str) -> dict[str, Any] | None:
    """Return the contained resource of ``root`` that ``fragment`` (``#id``) names, or None."""
    found = root.get("contained") if type(root) is dict else None
    for each in found if type(found) is list else ():
        if type(each) is dict and type(each.get("id")) is str and each["id"] == fragment[1:]:
            return each
    return None


def target_type(reference: Any, root: Any) -> str | None:
    """Return the type that a Reference's literal points to, ``UNKNOWN`` when it does not say."""
    literal = reference.get("reference") if type(reference) is dict else None
    if type(literal) is not str:
        return UNKNOWN
    if not literal.startswith("#"):
        return named_type(literal) or UNKNOWN
    target = root if literal == "#" else contained(root, literal)
    name = target.get("resourceType") if type(target) is dict else None
    return name if type(name) is str else UNKNOWN


def may_point(reference: Any, targets: frozenset[str], root: Any) -> bool:
    """Tell whether a Reference points (or, by its ``type``, claims to point) to one of ``targets`` only."""
    name = target_type(reference, root)
    claimed = reference.get("type") if type(reference) is dict else None
    if type(claimed) is str and claimed in RESOURCE_TYPES and claimed not in targets:
        return False
    return not name or name in targets


def agrees(reference: dict[str, Any], root: Any) -> bool:
    """Tell whether ``Reference.type``, when it is there, says the type that the literal names."""
    claimed = reference.get("type")
    name = target_type(reference, root) if type(claimed) is str and claimed in RESOURCE_TYPES else UNKNOWN
    return not name or name == claimed
