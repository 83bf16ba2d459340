"""Who is asking becomes what may be seen. Until OAuth2 lands there is one actor: the developer on loopback.

The server refuses to start without ``--insecure-no-auth``, so that nothing else ever reaches this decision.
"""

from __future__ import annotations

from fhir_server.search.visibility import Visibility

_DEVELOPMENT = Visibility.everything("development")


def decide() -> Visibility:
    """Return what the caller may see: everything, on a development server."""
    return _DEVELOPMENT
