"""The search parameter ``_filter``: an expression language over the other search parameters.

https://hl7.org/fhir/R4/search_filter.html
"""

from fhir_server.search.filter.meaning import filtered

__all__ = ["filtered"]
