"""``fhir-server probe``: ask the server on this machine how it is, as a container's health check does."""

import http.client
from typing import Annotated

import typer

from fhir_server.cli.options import out, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to translate, not to listen on

LiveOption = Annotated[
    bool, typer.Option("--live", help="Ask only whether it runs, not whether the store answers.")
]
HostOption = Annotated[str | None, typer.Option("--host", help="Where it listens; else FHIR_HOST.")]
PortOption = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="TCP port; else FHIR_PORT, else 8080.")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.1, help="How long to wait for the answer.")]


def probe(
    live: LiveOption = False, host: HostOption = None, port: PortOption = None, seconds: SecondsOption = 5.0
) -> None:
    """Ask the running server whether it can answer requests; exit code 1 when it cannot."""
    settings = read_settings(host=host, port=port)
    path = "/health/live" if live else "/health/ready"
    status = _status(settings, path, seconds)
    if status != 200:
        raise Fault(Kind.UNAVAILABLE, f"The server is not ready: {path} answered {status}; look at its log.")
    out.print("live" if live else "ready")


def _status(settings: Settings, path: str, seconds: float) -> int:
    """Return the HTTP status of GET ``path``; Fault(UNAVAILABLE) when nobody answers."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        raise Fault(
            Kind.UNAVAILABLE,
            f"No server answers at {host} port {settings.port}; is it started, and are host and port right?",
        ) from None
    finally:
        connection.close()
