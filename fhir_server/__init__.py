"""A FHIR R4 interoperability server."""
