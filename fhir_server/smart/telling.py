"""What the audit is told of requests for tokens: issued, refreshed, refused, come back, revoked."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.audit.entry import MINOR, SERIOUS
from fhir_server.smart.desk import Desk
from fhir_server.smart.journal import Journal, Who
from fhir_server.smart.tokens import jti_of

_GRANT_TYPES: Final = frozenset({"authorization_code", "refresh_token", "client_credentials"})
_UNTRUSTED: Final = frozenset({"invalid_client", "unauthorized_client"})


async def tell_token(
    journal: Journal, address: str, form: dict[str, str], desk: Desk | None, status: int, body: Any
) -> None:
    """Tell what became of a request to the token endpoint."""
    who = _who(desk, address, is_granted=status < 400)
    asked = form.get("grant_type", "")
    kind = asked if asked in _GRANT_TYPES else "another"
    grant = _grant(desk)
    details: tuple[tuple[str, str], ...] = (("grant-type", kind), ("grant", grant))
    if desk is not None and desk.reused:
        text = f"A {desk.reused} came a second time: the grant was ended with all of its tokens."
        await journal.tell("token-reuse", who, f"grant {grant}", outcome=SERIOUS, text=text)
    if status < 400:
        assert desk is not None
        event = "token-refresh" if kind == "refresh_token" else "token-issue"
        details = (("scope", str(body.get("scope", ""))), *details)
        await journal.tell(event, who, f"token {jti_of(desk.issued)}", details=details)
        return
    error = str(body.get("error", "")) if isinstance(body, dict) else ""
    outcome = SERIOUS if error in _UNTRUSTED else MINOR
    await journal.tell("token-refused", who, outcome=outcome, text=error, details=details)


async def tell_revocation(
    journal: Journal, address: str, form: dict[str, str], desk: Desk | None, status: int, body: Any
) -> None:
    """Tell of a token that was revoked; a request that revoked none changed nothing."""
    del form, body
    if desk is None or status >= 400 or not desk.written:
        return
    ended = f"grant {desk.refresh.value.grant}" if desk.refresh else ""
    target = ended or f"token {(desk.claims or {}).get('jti', '')}"
    await journal.tell("token-revoke", _who(desk, address), target)


def _who(desk: Desk | None, address: str, *, is_granted: bool = False) -> Who:
    """Return the client, and the person on whose behalf it asks if it showed that it may."""
    if desk is None:
        return Who(address=address)
    return Who(desk.client.id if desk.client else "", desk.user if is_granted else None, address)


def _grant(desk: Desk | None) -> str:
    if desk is None:
        return ""
    return desk.code.value.grant if desk.code else desk.refresh.value.grant if desk.refresh else ""
