"""What patients allow: R4 Consent, read into a Rule, combined, compiled to the predicates of a request.

https://hl7.org/fhir/R4/consent.html
"""
