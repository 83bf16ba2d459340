"""Rows of tokens: codes, concepts, identifiers, contacts and booleans, with the text shown for them.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from typing import Any

from fhir_server.search.elements.base import Codes, text
from fhir_server.search.values import Values


def token(values: Values, codes: Codes, element: Any) -> None:
    """Add a code, string, id or uri: a token without a system."""
    if isinstance(element, str):
        for code in codes:
            values.tokens.append((code, "", element))


def boolean(values: Values, codes: Codes, element: Any) -> None:
    """Add a boolean as the code "true" or "false"."""
    if isinstance(element, bool):
        token(values, codes, "true" if element else "false")


def coding(values: Values, codes: Codes, element: Any) -> None:
    """Add the system and code of a Coding; its display is a string for the modifier ``:text``."""
    if isinstance(element, dict):
        _tokens(values, codes, element.get("system"), element.get("code"))
        _display(values, codes, element.get("display"))


def codeable_concept(values: Values, codes: Codes, element: Any) -> None:
    """Add the codings of a CodeableConcept; its text is a string for the modifier ``:text``."""
    if isinstance(element, dict):
        codings = element.get("coding")
        if isinstance(codings, list):
            for each in codings:
                coding(values, codes, each)
        _display(values, codes, element.get("text"))


def identifier(values: Values, codes: Codes, element: Any) -> None:
    """Add the system and value of an Identifier, and its type for ``:of-type`` and ``:text``."""
    if isinstance(element, dict):
        identifier_value(values, codes, element)
        type_ = element.get("type")
        if isinstance(type_, dict):
            _typed(values, codes, type_, element.get("value"))


def identifier_value(values: Values, codes: Codes, element: Any) -> None:
    """Add the system and value of an Identifier alone."""
    if isinstance(element, dict):
        _tokens(values, codes, element.get("system"), element.get("value"))


def _typed(values: Values, codes: Codes, type_: dict[str, Any], value: Any) -> None:
    """Add "code|value" in the system of the identifier's type. https://hl7.org/fhir/R4/search.html#token"""
    _display(values, codes, type_.get("text"))
    codings = type_.get("coding")
    if not isinstance(value, str) or not isinstance(codings, list):
        return
    for each in codings:
        if isinstance(each, dict) and isinstance(each.get("code"), str):
            typed = text(each.get("system")), f"{each['code']}|{value}"
            values.tokens.extend((code + ":of-type", *typed) for code in codes)


def _display(values: Values, codes: Codes, shown: Any) -> None:
    if isinstance(shown, str):
        for code in codes:
            values.strings.append((code + ":text", shown))


def contact_point(values: Values, codes: Codes, element: Any) -> None:
    """Add the value of a ContactPoint, without a system."""
    if isinstance(element, dict):
        token(values, codes, element.get("value"))


def deceased(values: Values, codes: Codes, tree: Any) -> None:
    """Read a whole Patient: "true" for deceasedBoolean true and for any date, "false" for the rest.

    The definition is a boolean: ``Patient.deceased.exists() and Patient.deceased != false``.
    """
    died = tree.get("deceasedBoolean") is True or isinstance(tree.get("deceasedDateTime"), str)
    boolean(values, codes, died)


def _tokens(values: Values, codes: Codes, system: Any, code: Any) -> None:
    if isinstance(code, str):
        for param in codes:
            values.tokens.append((param, text(system), code))
