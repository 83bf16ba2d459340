"""``fhir-server serve``: answer HTTP."""

import os
from typing import Annotated

import typer

from fhir_server.cli import parts
from fhir_server.cli.options import DataOption, KeysOption, environment, err, read_settings
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind

HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on; else 127.0.0.1.")]
PortOption = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="TCP port to listen on; else 8080.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=64, help="Processes that share the store; else 1.")
]
InsecureOption = Annotated[
    bool,
    typer.Option("--insecure-no-auth", help="Development only: serve without authentication, on loopback."),
]


def serve(
    data: DataOption = None,
    keys: KeysOption = None,
    host: HostOption = None,
    port: PortOption = None,
    workers: WorkersOption = None,
    insecure_no_auth: InsecureOption = False,
) -> None:
    """Serve FHIR over HTTP until stopped; running requests then get time to finish."""
    settings = read_settings(
        data=data, keys=keys, host=host, port=port, workers=workers, insecure_no_auth=insecure_no_auth or None
    )
    _check(settings)
    # Before any worker starts: a missing key is one sentence here, and a restart loop there.
    parts.key_ring(settings)
    os.environ.update(environment(settings))
    address = f"http://{_authority(settings)}/fhir"
    err.print(f"Serving {address} (Ctrl-C stops). Try: curl {address}/metadata", markup=False, soft_wrap=True)
    _listen(settings)


def _check(settings: Settings) -> None:
    """Raise unless these settings may be served."""
    from fhir_server.app import RefusesToStart, check_start  # noqa: PLC0415 - late, as in parts.py

    try:
        check_start(settings)
    except RefusesToStart as refusal:
        raise Fault(Kind.FORBIDDEN, str(refusal)) from None


def _authority(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def _listen(settings: Settings) -> None:
    import uvicorn  # noqa: PLC0415 - late, as in parts.py

    from fhir_server.app import uvicorn_options  # noqa: PLC0415 - late, as in parts.py

    try:
        uvicorn.run("fhir_server.app:create_app", **uvicorn_options(settings))
    except SystemExit as stop:
        # uvicorn says 3 when it could not start; the reason has been logged.
        raise typer.Exit(1 if stop.code else 0) from None
