"""FHIR operations, one file each."""
