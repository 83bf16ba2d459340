"""The composition root: the only file that knows every part and puts them together.

``uvicorn --factory fhir_server.app:create_app`` serves it; :func:`uvicorn_options` says with which options.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind
from fhir_server.rest.asgi import Authenticate, Ready, Refused, Rest, Run, Send
from fhir_server.rest.base import is_loopback
from fhir_server.rest.limits import Receive
from fhir_server.rest.logs import configure_logging
from fhir_server.rest.observe import RESULT_PARAMETERS
from fhir_server.rest.routes import BASE_PATH
from fhir_server.store import moment

if TYPE_CHECKING:
    from fhir_server.audit.opening import Audit
    from fhir_server.jobs.runner import JobRunner
    from fhir_server.smart.house import House
    from fhir_server.store.whole import WholeStore

_LOG = logging.getLogger("fhir_server.app")

_NO_AUTH = """
****************************************************************************
*  THIS SERVER RUNS WITHOUT AUTHENTICATION (FHIR_INSECURE_NO_AUTH is set). *
*  Every program on this machine can read, change and delete every record. *
*  For development with invented data only. Never put real records in it,  *
*  never forward its port to another machine.                              *
****************************************************************************
"""


class RefusesToStart(Exception):
    """The settings do not allow the server to start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Service:
    """The running parts below HTTP: the one door, the store behind it, and how to close both.

    ``run`` carries out one interaction; ``ready`` says whether the store can answer now; ``close`` finishes
    writes under way and releases the files. ``jobs`` carries out background work once it is started.
    ``authenticate`` says who sends a request; without it only a development server answers. ``house``: the
    authorization server, when there is one. ``audit`` is told of every access; ``refused`` records a request
    that was refused before it came to ``run``.
    """

    run: Run
    ready: Ready
    close: Callable[[], Awaitable[None]]
    store: WholeStore
    jobs: JobRunner | None = None
    authenticate: Authenticate | None = None
    house: House | None = None
    audit: Audit | None = None
    refused: Refused | None = None


Door = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
"""What answers HTTP: the FHIR interface alone, or the gate before it and the authorization server."""

Parts = Callable[[Settings], Awaitable[Service]]
"""Opens a Service; :func:`open_service` is the real one."""


async def open_service(settings: Settings) -> Service:
    """Open the key ring and the store named by ``settings`` and wire the runner to them.

    Faults and exceptions of key ring and store pass: each says in a sentence what is wrong with key or file.
    """
    # Imported here, so that a refusal to start does not wait for the whole server to load.
    from fhir_server.audit.opening import open_audit  # noqa: PLC0415
    from fhir_server.crypto.keys import KeyRing  # noqa: PLC0415
    from fhir_server.interactions.consents import class_all  # noqa: PLC0415
    from fhir_server.interactions.context import Services  # noqa: PLC0415
    from fhir_server.interactions.known import Known  # noqa: PLC0415
    from fhir_server.interactions.labelling import Labelling  # noqa: PLC0415
    from fhir_server.interactions.runner import Runner  # noqa: PLC0415
    from fhir_server.jobs import reindex, relabel  # noqa: PLC0415
    from fhir_server.jobs.runner import JobRunner, Work  # noqa: PLC0415
    from fhir_server.operations.registry import OPERATIONS  # noqa: PLC0415
    from fhir_server.search.extract import Extractor  # noqa: PLC0415
    from fhir_server.stores import Stores  # noqa: PLC0415

    ring = KeyRing.load(settings.key_folder)
    extractor = Extractor(settings.zone, settings.base_url, full_text=settings.full_text)
    stores = Stores(settings)
    store = await stores.records(ring, extractor)
    known = Known(store, extractor)
    await known.refresh()
    # AuditEvents are indexed by the parameters of R4 alone: the log is older than any custom parameter.
    plain = Extractor(settings.zone, settings.base_url)
    audit = (
        await open_audit(
            settings, ring.suite.name, store, lambda keys: stores.audit_events(keys, plain), plain.extract
        )
        if settings.audit
        else None
    )
    door = audit.store if audit else store
    labelling = Labelling(store, settings.zone, settings.label_rules, settings.base_url)
    await class_all(store, store.state, settings)
    services = Services(
        door, settings, extractor, page_key(ring.index_key), OPERATIONS, known, labelling, store.state
    )
    runner = Runner(services, audit.recorder if audit else None)
    works: dict[str, Work] = {
        reindex.KIND: reindex.Reindex(store, known),
        relabel.KIND: relabel.Relabel(store, labelling, extractor, runner.run),
    }
    jobs = JobRunner(store.jobs, works)

    async def close() -> None:
        await jobs.close()
        if audit:
            await audit.close()
        await store.close()

    service = Service(
        run=runner.run,
        ready=store.ready,
        close=close,
        store=store,
        jobs=jobs,
        audit=audit,
        refused=runner.refused,
    )
    return _with_house(service, settings) if settings.auth else service


def _with_house(service: Service, settings: Settings) -> Service:
    """Return the service with an authorization server that says who sends a request."""
    from fhir_server.smart.house import House  # noqa: PLC0415 as in open_service

    record = service.audit.recorder.record if service.audit else None
    house = House(settings, service.store.state, service.run, record=record)
    return replace(service, house=house, authenticate=house.bearer.actor)


def page_key(index_key: bytes) -> bytes:
    """Derive the 32 bytes that seal page links; every worker has the same, also after a restart."""
    return blake2b(b"page links", key=index_key[:64], digest_size=32).digest()


def known_parameters() -> frozenset[str]:
    """Return the names of all search parameters of R4: those that a log line may show."""
    from fhir_server.search.parameters import by_url  # noqa: PLC0415 as in open_service

    return RESULT_PARAMETERS | {parameter.code for parameter in by_url().values()}


def check_start(settings: Settings) -> None:
    """Raise :class:`RefusesToStart` unless these settings may be served."""
    if not settings.audit and not settings.insecure_no_auth:
        raise RefusesToStart(
            "FHIR_AUDIT may be false in development only, with --insecure-no-auth; leave it out."
        )
    if settings.auth:
        _check_base(settings)
        return
    if not is_loopback(settings.host):
        raise RefusesToStart(
            "Without authentication the server listens on this machine only. Set --host (FHIR_HOST) to "
            "127.0.0.1, ::1 or localhost, or leave it out."
        )


def _spare_the_collector() -> None:
    """Have the garbage collector look seldom, and never at what lives as long as the process.

    Requests make trees of dicts that reference counting frees; looking for cycles among them every few
    hundred allocations costs a tenth of a transaction.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _check_base(settings: Settings) -> None:
    """Raise unless tokens and passwords travel by https, or do not leave this machine."""
    base = urlsplit(settings.public_base)
    is_local = base.scheme == "http" and is_loopback(base.hostname or "") and is_loopback(settings.host)
    if not (base.scheme == "https" and base.netloc and not base.query and not base.fragment) and not is_local:
        raise RefusesToStart(
            "Tokens and passwords must not travel in the clear: set FHIR_BASE_URL to the https address that "
            "clients see (https://fhir.example.org/fhir), with a proxy that speaks TLS before this server."
        )


class App:
    """The ASGI application: opens the service at lifespan's start, answers, closes at lifespan's end."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._service: Service | None = None
        self._rest: Rest | None = None
        self._door: Door | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one ASGI scope: http, lifespan, or a websocket, which is refused."""
        if scope["type"] == "http":
            opened = moment.begin()
            try:
                await self._http()(scope, receive, send)
            finally:
                moment.end(opened)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def start(self) -> None:
        """Open the service. Raises what its parts raise."""
        if self._settings.insecure_no_auth:
            # For a person's eyes, so not as a JSON line, in which it would be one line among others.
            sys.stderr.write(_NO_AUTH)
            _LOG.warning("The server runs without authentication")
        service = self._service = await self._parts(self._settings)
        if service.jobs is not None:
            service.jobs.start()
        if service.audit is not None:
            service.audit.start()
        run = service.run
        if service.house is not None:
            from fhir_server.smart.gate import Gate, Limited  # noqa: PLC0415 as in open_service

            await service.house.open()
            run = Limited(run, self._settings.client_rate)
        known = known_parameters()
        self._rest = Rest(self._settings, run, service.ready, known, service.authenticate, service.refused)
        self._door = self._rest
        if service.house is not None:
            self._door = Gate(service.house, self._rest, BASE_PATH)
        _spare_the_collector()

    async def stop(self) -> None:
        """Let running requests finish, refuse new ones, then close the service."""
        service, self._service = self._service, None
        if service is None:
            return
        if self._rest is not None and not await self._rest.drain(self._settings.shutdown_seconds):
            _LOG.warning("Some requests were still running when the time to shut down was over")
        if service.house is not None:
            await service.house.close()
        await service.close()

    def _http(self) -> Door:
        if self._door is None:
            # A server that sends requests before lifespan has started, or that has lifespan switched off.
            self._door = Rest(self._settings, _not_started, _not_ready)
        return self._door

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:  # noqa: BLE001 whatever it is, lifespan must be told
            _LOG.exception("The server could not start")
            await send({"type": "lifespan.startup.failed", "message": _why(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self.stop()
        except Exception:  # noqa: BLE001 the same
            _LOG.exception("The server could not stop cleanly")
            message = "The store could not be closed cleanly."
            await send({"type": "lifespan.shutdown.failed", "message": message})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings | None = None, parts: Parts | None = None) -> App:
    """Return the ASGI app; ``settings`` from the environment unless given, ``parts`` open the service.

    Raises :class:`RefusesToStart` when the settings may not be served.
    """
    settings = settings or Settings.model_validate({})  # the environment fills it
    check_start(settings)
    configure_logging(settings.log_level)
    return App(settings, parts or open_service)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Return the options of ``uvicorn.run`` and ``uvicorn.Config`` that this application relies on."""
    return {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "loop": "uvloop",
        "http": "fhir_server.rest.protocol:FhirProtocol",
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,  # it would write paths and query strings
        "server_header": False,
        "proxy_headers": False,  # FHIR_BASE_URL says what clients see; X-Forwarded-* can be forged
        "timeout_graceful_shutdown": settings.shutdown_seconds,
    }


def _why(error: Exception) -> str:
    if isinstance(error, Fault):
        return error.diagnostics
    return f"The server could not start ({type(error).__name__}); see the log line above."


async def _not_started(_request: object) -> Any:
    raise Fault(Kind.UNAVAILABLE, "The server is starting; send the request again in a moment.")


async def _not_ready() -> bool:
    return False
