"""Patient/$match: the records that may be the same person.

https://hl7.org/fhir/R4/patient-operation-match.html
"""
