"""The code system that a bare ``code`` element is understood to be of: that of its required value set.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from functools import cache

from fhir_server.resources.types import Element, definitions, value_sets
from fhir_server.search.expressions import Get, Path
from fhir_server.search.generate import sources
from fhir_server.search.parameters import Parameter


@cache
def implied_systems(parameter: Parameter, type_: str) -> frozenset[str]:
    """Return the code systems of the ``code`` elements that a parameter searches in resources of ``type_``.

    ``gender=http://hl7.org/fhir/administrative-gender|male`` finds what ``gender=male`` finds: the element
    holds no system, the index no system either.
    """
    if parameter.type != "token":
        return frozenset()
    elements = [_last(path, type_) for path, _ in sources(parameter, type_) if path.type == "code"]
    bound = [element.binding for element in elements if element is not None and element.binding is not None]
    return frozenset(system for url in bound for system in value_sets().get(url, ()))


def _last(path: Path, type_: str) -> Element | None:
    """Return the element at the end of a path."""
    element = None
    for step in path.steps:
        if isinstance(step, Get):
            element, type_ = definitions()[type_].properties[step.key]
    return element
