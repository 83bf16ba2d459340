"""The one door: one file per FHIR interaction."""
