"""Conditions on contained resources compiled. https://hl7.org/fhir/R4/search.html#contained"""

from __future__ import annotations

from fhir_server.search.predicate import Contains, Everything, TokenIs
from fhir_server.search.values import CONTAINED
from fhir_server.store.sqlite.fragment import Conjunct, Cost
from fhir_server.store.sqlite.kit import Field, Kit
from fhir_server.store.sqlite.leaves import leaf


def inside(item: Contains, field: Field, kit: Kit) -> list[Conjunct]:
    """Ask the index which types are contained, and the opened resource for the rest.

    Two conjuncts, so that another condition drives where it leaves fewer to open. ``field``: that of the
    tokens which say what is contained.
    """
    of_type = leaf(TokenIs("", item.type), field, kit)
    if isinstance(item.inner, Everything):
        return [of_type]
    judged = Conjunct(lambda sk: kit.opened(field.type, item, sk), label=CONTAINED, cost=Cost.RECORD)
    return [of_type, judged]
