"""The XML format: bytes of FHIR XML to the tree that JSON gives, and back.

https://hl7.org/fhir/R4/xml.html
"""

from fhir_server.resources.xml.read import decode_xml
from fhir_server.resources.xml.write import encode_xml

__all__ = ["decode_xml", "encode_xml"]
