"""Tells the audit what happens to accounts, clients and tokens, before anybody is told how it went.

What is told has no secrets in it: names of accounts that exist, ids, scopes, and sentences of this server's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from fhir_server.audit.entry import SERIOUS, SUCCESS, Agent, Entry
from fhir_server.audit.security import EVENTS
from fhir_server.smart.records import User

Record = Callable[[Sequence[Entry]], Awaitable[None]]
"""Makes entries durable; Fault UNAVAILABLE when it cannot."""

COMMAND_LINE: Final = "command-line"


class Who(NamedTuple):
    """Who did it, as far as that is known: client, account, network address, the jti of the token shown."""

    client: str = ""
    user: User | None = None
    address: str = ""
    token: str = ""


class Journal:
    """The audit of the authorization server. ``record`` None: a server in development that keeps none."""

    def __init__(self, record: Record | None, clock: Callable[[], int]) -> None:
        self._record = record
        self._clock = clock

    async def tell(
        self,
        event: str,
        who: Who,
        target: str = "",
        *,
        outcome: int = SUCCESS,
        text: str = "",
        details: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write an event down. ``event``, ``target``: as ``audit.security`` has them. Fault UNAVAILABLE."""
        if self._record is None:
            return
        assert event in EVENTS, event
        user = who.user
        agent = Agent(
            who.client,
            user=user.fhir_user if user else "",
            organization=user.organization if user else "",
            roles=tuple(sorted(user.roles)) if user else (),
            token=who.token,
            address=who.address,
            account=user.id if user else "",
        )
        entry = Entry(
            at=self._clock(),
            interaction=event,
            outcome=outcome,
            status=200 if outcome == SUCCESS else 403 if outcome == SERIOUS else 400,
            request="",
            agent=agent,
            text=text,
            target=target,
            details=tuple(pair for pair in details if pair[1]),
        )
        await self._record([entry])


def described(user: User) -> tuple[tuple[str, str], ...]:
    """Return the rights of an account as details: its roles, its record, its organization."""
    return (
        ("roles", " ".join(sorted(user.roles))),
        ("record", " ".join((user.fhir_user, *user.proxies)).strip()),
        ("organization", user.organization),
    )
