"""From one element of a resource to its rows in :class:`Values`: what each data type yields.

Every function appends rows for all of ``codes``, the search parameters that lead to the element. None raises:
an element that has not the shape of its type yields nothing, since validation is another floor's duty.
https://hl7.org/fhir/R4/search.html#ptypes
"""

from fhir_server.search.elements.groups import composite, position
from fhir_server.search.elements.links import canonical_reference, reference, referred_type, resource, uri
from fhir_server.search.elements.spans import (
    LARGEST,
    date,
    money,
    number,
    number_range,
    period,
    quantity,
    quantity_range,
    timing,
)
from fhir_server.search.elements.strings import address, human_name, name_part, string
from fhir_server.search.elements.tokens import (
    boolean,
    codeable_concept,
    coding,
    contact_point,
    deceased,
    identifier,
    token,
)

__all__ = [
    "LARGEST",
    "address",
    "boolean",
    "canonical_reference",
    "codeable_concept",
    "coding",
    "composite",
    "contact_point",
    "date",
    "deceased",
    "human_name",
    "identifier",
    "money",
    "name_part",
    "number",
    "number_range",
    "period",
    "position",
    "quantity",
    "quantity_range",
    "reference",
    "referred_type",
    "resource",
    "string",
    "timing",
    "token",
    "uri",
]
