"""The SMART App Launch 2.2 authorization server: who may do what, decided before the database is asked.

https://hl7.org/fhir/smart-app-launch/STU2.2/
"""
