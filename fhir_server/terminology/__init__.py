"""What codes mean to each other: the expansion of value sets, and what a code subsumes.

Pure: everything works on ValueSet and CodeSystem resources that were handed in as trees
(:class:`library.Library`); what is missing there is named by :class:`library.UnknownCanonical`.
https://hl7.org/fhir/R4/terminology-module.html
"""
