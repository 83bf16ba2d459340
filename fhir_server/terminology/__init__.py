"""What codes mean to each other: the expansion of value sets, and what a code subsumes.

Pure: everything works on ValueSet and CodeSystem resources that were handed in as trees
(:class:`library.Library`); :func:`library.requires` says which others a resource needs.
https://hl7.org/fhir/R4/terminology-module.html
"""
