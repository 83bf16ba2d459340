"""The service base URL: the address under which clients see this server.

https://hl7.org/fhir/R4/http.html#root
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from fhir_server.faults import Fault, Kind
from fhir_server.rest.routes import BASE_PATH

_fits_host = re.compile(r"([A-Za-z0-9][A-Za-z0-9.\-_]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?").fullmatch


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address (IPv6 with or without brackets) can only mean this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=128)
def base_from_host(scheme: str, host: bytes, *, loopback_only: bool) -> str:
    """Return ``scheme://host/fhir`` from a Host header. Fault BAD_REQUEST when it is not host[:port].

    ``loopback_only`` refuses any other name than this machine's. Without authentication a web page could
    otherwise point a name of its own at 127.0.0.1 and read records through its visitor's browser (DNS
    rebinding).
    """
    found = _fits_host(host.decode("latin-1"))
    if found is None:
        raise Fault(Kind.BAD_REQUEST, "The Host header is missing or is not a host with an optional port.")
    if loopback_only and not is_loopback(found.group(1)):
        raise Fault(
            Kind.BAD_REQUEST,
            "Without authentication this server answers only to localhost, 127.0.0.1 or [::1] in the Host "
            "header. Use one of these, or set FHIR_BASE_URL.",
        )
    return f"{scheme}://{found.group()}{BASE_PATH}"
