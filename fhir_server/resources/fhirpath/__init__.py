"""FHIRPath over JSON trees: parse, compile, run. http://hl7.org/fhirpath/N1/ , https://hl7.org/fhir/R4/fhirpath.html"""

from fhir_server.resources.fhirpath.ast import FhirPathError
from fhir_server.resources.fhirpath.compile import Expression, compile  # noqa: A004 - as in re.compile
from fhir_server.resources.fhirpath.node import Node
from fhir_server.resources.fhirpath.parse import parse

__all__ = ["Expression", "FhirPathError", "Node", "compile", "parse"]
