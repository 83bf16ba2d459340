"""Consents for common wishes, as forms with a few blanks: ``conformance/policies/consent-templates.json``.

``{name}`` stands for a parameter. What holds a blank that was not filled is left out up to the item of a list
that it is in; ``{name?}`` takes only its own key away, and ``{name?words}`` stands for the words then.
docs/consent.md lists the templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from fhir_server.faults import Fault, Kind
from fhir_server.resources.reference import parse

Tree = dict[str, Any]

_BLANK: Final = re.compile(r"\{([a-z-]+)(?:(\?)([a-z-]*))?\}")


class Parameter(msgspec.Struct, frozen=True):
    """A blank. ``types``: of the resource that a reference in it names; () for what is no reference."""

    types: tuple[str, ...] = ()
    required: bool = False
    repeats: bool = False
    default: tuple[str, ...] = ()


class Template(msgspec.Struct, frozen=True):
    """A wish: in Chinese and English, its blanks, and the Consent that holds them."""

    zh: str
    en: str
    parameters: dict[str, Parameter]
    consent: Tree


class _Common(msgspec.Struct, frozen=True):
    parameters: dict[str, Parameter]
    consent: Tree


class _File(msgspec.Struct, frozen=True):
    common: _Common
    templates: dict[str, Template]


@cache
def templates() -> Mapping[str, Template]:
    """Return the templates by code, each with the parameters and elements that all have in common."""
    content = (files("conformance") / "policies" / "consent-templates.json").read_bytes()
    file = msgspec.json.decode(content, type=_File)
    return {
        code: Template(
            each.zh,
            each.en,
            {**each.parameters, **file.common.parameters},
            {**file.common.consent, **each.consent},
        )
        for code, each in file.templates.items()
    }


def fill(code: str, given: Mapping[str, Sequence[str]], patient: str, now: str, base: str = "") -> Tree:
    """Return the Consent of template ``code`` for a patient (``Patient/1``), agreed at ``now`` (instant).

    ``given``: values by parameter; ``base``: the server's address. Fault BAD_PARAMETER for a template,
    parameter or reference that there is none of, for one too many, and for a required one that is missing.
    Whether the Consent can be enforced is not checked here.
    """
    template = templates().get(code)
    if template is None:
        names = ", ".join(templates())
        raise Fault(Kind.BAD_PARAMETER, f"template is one of: {names}.")
    if unknown := sorted(given.keys() - template.parameters.keys()):
        names = ", ".join(template.parameters)
        raise Fault(
            Kind.BAD_PARAMETER, f"This template has no parameter {unknown[0][:64]!r}; it has: {names}."
        )
    values: dict[str, Sequence[str]] = {"patient": [patient], "now": [now]}
    for name, parameter in template.parameters.items():
        found = given.get(name, parameter.default)
        _check(name, parameter, found, base)
        if found:
            values[name] = found
    filled: Tree = _filled(template.consent, values)
    return filled


def _check(name: str, parameter: Parameter, found: Sequence[str], base: str) -> None:
    if parameter.required and not found:
        raise Fault(Kind.BAD_PARAMETER, f"This template needs the parameter {name}.")
    if len(found) > 1 and not parameter.repeats:
        raise Fault(Kind.BAD_PARAMETER, f"Give {name} once.")
    if not all(found):
        # Left out it would make a wish wider than it was meant.
        raise Fault(Kind.BAD_PARAMETER, f"{name} is empty; give it a value.")
    for value in found if parameter.types else ():
        reference = parse(value, base)
        if reference.local is None or reference.type not in parameter.types:
            raise Fault(Kind.BAD_PARAMETER, f"{name} is a reference such as {parameter.types[0]}/1.")


class _Missing(Exception):
    """A blank within was not filled."""


def _filled(node: Any, values: Mapping[str, Sequence[str]]) -> Any:
    if isinstance(node, dict):
        found = {key: value for key, value in _members(node, values) if value not in ({}, [])}
        if node and not found:
            raise _Missing
        return found
    if isinstance(node, list):
        return list(_items(node, values))
    if isinstance(node, str):
        return _BLANK.sub(lambda blank: _value(blank, values), node)
    return node


def _members(node: Tree, values: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        try:
            yield key, _filled(value, values)
        except _Missing:
            if not _may_miss(value):
                raise


def _may_miss(value: Any) -> bool:
    """Tell whether a member goes alone when nothing of it is filled: its blanks all say so."""
    if isinstance(value, dict):
        return all(_may_miss(each) for each in value.values())
    return isinstance(value, str) and all(blank[2] for blank in _BLANK.finditer(value))


def _items(node: list[Any], values: Mapping[str, Sequence[str]]) -> Iterator[Any]:
    """Yield the items whose blanks are filled, once for each value of a parameter that repeats."""
    for item in node:
        names = {blank[1] for blank in _BLANK.finditer(msgspec.json.encode(item).decode())}
        repeated = next((name for name in sorted(names) if len(values.get(name, ())) > 1), None)
        each_time = [{**values, repeated: [one]} for one in values[repeated]] if repeated else [values]
        for one in each_time:
            try:
                yield _filled(item, one)
            except _Missing:
                continue


def _value(blank: re.Match[str], values: Mapping[str, Sequence[str]]) -> str:
    name, _, otherwise = blank.groups()
    found = values.get(name)
    if found:
        return found[0]
    if otherwise:
        return otherwise
    raise _Missing
