"""The parts of the authorization server, put together over one store and one runner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import httpx

from fhir_server.access.bearer import Bearer, Trust
from fhir_server.clock import now_ms
from fhir_server.config import Settings
from fhir_server.faults import Fault
from fhir_server.smart.encounters import Encounters
from fhir_server.smart.external import Providers
from fhir_server.smart.fetch import Fetcher, Guarded
from fhir_server.smart.flow import Flows
from fhir_server.smart.grants import Lifetimes
from fhir_server.smart.issuers import Issuers
from fhir_server.smart.journal import Journal, Record
from fhir_server.smart.jwks import KeySets
from fhir_server.smart.keys import Keys
from fhir_server.smart.launch import Launches
from fhir_server.smart.patients import Patients, Run
from fhir_server.smart.revocations import Revocations
from fhir_server.smart.server import Server
from fhir_server.smart.sessions import Sessions
from fhir_server.smart.shelf import Shelves
from fhir_server.smart.tokens import Site, Tokens
from fhir_server.smart.users import Passwords, Users
from fhir_server.store.state import State

_TIDY_SECONDS: Final = 600


class House:
    """Everything that the routes need.

    ``fetching``: how others' key sets are fetched, else over https. ``record``: the way into the audit.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        run: Run,
        *,
        clock: Callable[[], int] = now_ms,
        fetching: httpx.AsyncBaseTransport | None = None,
        passwords: Passwords | None = None,
        record: Record | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.run = run
        self._tidying: asyncio.Task[None] | None = None
        self.journal = Journal(record, clock)
        self.site = Site(settings.public_base)
        self.shelves = Shelves(state)
        self.keys = Keys(self.shelves, clock)
        self.tokens = Tokens(self.site, self.keys, clock)
        self.passwords = passwords or Passwords()
        self.users = Users(self.shelves, self.passwords, clock)
        self.sessions = Sessions(
            self.shelves, clock, idle=settings.session_idle_seconds, longest=settings.session_seconds
        )
        self.fetcher = Fetcher(fetching or Guarded(httpx.AsyncHTTPTransport(retries=0)))
        self.key_sets = KeySets(self.fetcher, clock)
        lifetimes = Lifetimes(settings.access_token_seconds, settings.backend_token_seconds)
        self.server = Server(self.shelves, self.tokens, self.key_sets, self.sessions, lifetimes, self.journal)
        self.launches = Launches(self.shelves, run, clock)
        self.patients = Patients(run, clock, self.site.base)
        self.encounters = Encounters(run, self.site.base, settings.zone)
        self.flows = Flows(self.shelves, self.tokens, self.launches, lifetimes)
        self.providers = Providers(self.shelves, self.key_sets, self.fetcher, self.site, clock)
        issuers = Issuers(self.shelves, self.key_sets, clock, self.site.base)
        trust = Trust(self.site.issuer, self.site.base, self.keys.verification)
        self.bearer = Bearer(trust, Revocations(self.shelves).revoked, (issuers.actor,))

    async def open(self) -> None:
        """Make what is missing at the start, and clear away what has expired."""
        await self.keys.refresh()
        await self.shelves.state.sweep()
        self._tidying = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """Stop tidying, and close the connections to others."""
        if self._tidying is not None:
            self._tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tidying
        await self.fetcher.close()

    async def _tidy(self) -> None:
        """Clear away what has expired, now and then: codes, used assertions, revocations, sessions."""
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            # What expired is absent whether it was cleared away or not, so the next time will do.
            with contextlib.suppress(Fault):
                await self.shelves.state.sweep()
