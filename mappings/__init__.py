"""Two-way maps between local health and insurance formats and FHIR R4: bytes of a format to a Bundle, and back.

A package of its own: it needs no server and never imports one.
"""
