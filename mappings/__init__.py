"""Two-way maps between local formats of hospitals and insurers and FHIR R4: bytes to a Bundle, and back.

A package of its own: it needs no server and never imports one.
"""
