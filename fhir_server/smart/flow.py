"""The authorization endpoint: from an app's request, over the pages, to a code.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError, OAuth2Error

from fhir_server.access.actor import AUDIT_ADMINISTRATOR
from fhir_server.access.scopes import Rights, understand
from fhir_server.smart.desk import Desk, FormRequest, form_of
from fhir_server.smart.granting import (
    ENCOUNTER,
    LEVELS,
    ONLINE,
    needs_encounter,
    needs_patient,
    of_audit,
    without,
)
from fhir_server.smart.grants import Answer, CodeGrant, Decider, Lifetimes
from fhir_server.smart.launch import Launches
from fhir_server.smart.mint import digest, new_id
from fhir_server.smart.patients import Choice
from fhir_server.smart.records import Code, Context, Flow, Grant, Session, User
from fhir_server.smart.shelf import Held, Shelves
from fhir_server.smart.tokens import Tokens
from fhir_server.smart.users import is_administrator

FLOW_MS: Final = 15 * 60_000
"""How long a person may take from the app's request to consent, in ms."""
CODE_MS: Final = 60_000
"""Life of an authorization code, in ms."""
_CODE_KEPT_MS: Final = 10 * 60_000
_GRANT_KEPT_MS: Final = 65 * 60_000
Step = Literal["login", "totp", "patient", "encounter", "consent"]


class Refused(Exception):
    """The request cannot go on. ``redirect``: where the app hears of it; None = a page tells the person."""

    def __init__(self, error: str, redirect: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.redirect = redirect


class Visitor(NamedTuple):
    """Who sits before the browser: the session and its account."""

    session: Held[Session]
    user: User


class Flows:
    """Begins flows, says which page is due, and ends them with a code."""

    def __init__(self, shelves: Shelves, tokens: Tokens, launches: Launches, lifetimes: Lifetimes) -> None:
        self._shelves = shelves
        self._tokens = tokens
        self._launches = launches
        self._lifetimes = lifetimes

    async def begin(self, pairs: list[tuple[str, str]], browser: str, *, logged_in: bool) -> str:
        """Check an authorization request and write it down; return the flow's id. Raises :class:`Refused`."""
        try:
            form = form_of(pairs)
            desk = Desk(self._shelves, self._tokens, self._tokens.clock())
            desk.client = await self._shelves.clients.value(form.get("client_id", ""))
            decider = Decider(desk, self._lifetimes)
            request = FormRequest("GET", form)
            grant = decider.get_consent_grant(request)
        except OAuth2Error as error:
            raise Refused(error.error, _location(error)) from error
        try:
            flow = await self._flow(form, str(request.scope), digest(browser), desk.now)
            _check_prompt(flow, logged_in=logged_in)
        except OAuth2Error as error:
            error.redirect_uri, error.state = grant.redirect_uri, form.get("state")
            raise Refused(str(error.error), _location(error)) from error
        key = new_id()
        await self._shelves.apply(self._shelves.flows.to_add(key, flow, expires=desk.now + FLOW_MS))
        return key

    async def find(self, key: str, browser: str) -> Held[Flow] | None:
        """Return the flow if it was begun in this browser and is not over."""
        held = await self._shelves.flows.get(key)
        return held if held and browser and held.value.browser == digest(browser) else None

    async def replace(self, held: Held[Flow], **changes: Any) -> Held[Flow]:
        """Write a flow down with other values; raises Stale when another window of the browser went on."""
        flow = msgspec.structs.replace(held.value, **changes)
        await self._shelves.apply(self._shelves.flows.to_replace(held, flow))
        return Held(held.key, flow, held.version + 1, held.expires, held.tags)

    def step(self, flow: Flow, visitor: Visitor | None) -> Step:
        """Say which page is due."""
        if visitor is None or not self._is_recent(flow, visitor.session.value):
            return "totp" if flow.pending else "login"
        if is_administrator(visitor.user) and "otp" not in visitor.session.value.methods:
            return "login"
        if flow.must_be and visitor.user.id != flow.must_be:
            return "login"
        rights = self.grantable(flow, visitor.user)
        wants = flow.context.patient or needs_patient(rights)
        # Chosen by another account, or named by an EHR: whether this account may open it is still to be seen.
        if wants and flow.chosen_by != visitor.user.id:
            return "patient"
        asks = needs_encounter(rights) and not flow.launch
        return "encounter" if asks and flow.visit_by != visitor.user.id else "consent"

    def grantable(self, flow: Flow, user: User) -> Rights:
        """Return which of the scopes this account can grant at all: rights on records need a record.

        An audit administrator grants rights on the audit, if it is named, and nothing besides.
        """
        rights = understand(flow.scope)
        if AUDIT_ADMINISTRATOR in user.roles:
            return of_audit(rights)
        return rights if user.fhir_user and not is_administrator(user) else without(rights, LEVELS)

    async def choose(self, held: Held[Flow], user: User, choice: Choice) -> Held[Flow]:
        """Write down which patient ``user``, who may open that record, has chosen."""
        context = msgspec.structs.replace(held.value.context, patient=choice.id)
        if not held.value.launch:
            context = msgspec.structs.replace(context, encounter="")
        return await self.replace(
            held, context=context, fhir_user=choice.fhir_user, chosen_by=user.id, visit_by=""
        )

    async def visit(self, held: Held[Flow], user: User, encounter: str) -> Held[Flow]:
        """Write down which encounter of the chosen patient ``user`` has chosen; "" = none."""
        context = msgspec.structs.replace(held.value.context, encounter=encounter)
        return await self.replace(held, context=context, visit_by=user.id)

    async def allow(
        self, held: Held[Flow], visitor: Visitor, selected: Sequence[str]
    ) -> tuple[str, Grant | None]:
        """Grant the scopes that were left selected; return the address to send the browser to, and the grant.

        The flow, the launch and the code change hands in one write: none is used twice. Raises Stale then.
        """
        flow, now = held.value, self._tokens.clock()
        offered = self.grantable(flow, visitor.user)
        kept = [text for text in offered.granted.split(" ") if text in set(selected)]
        if not flow.context.encounter:
            kept = [text for text in kept if text != ENCOUNTER]
        rights = understand(" ".join(kept))
        if not rights.granted or (offered.scopes and not rights.scopes):
            return await self.deny(held), None
        grant = self._grant(flow, visitor, rights.granted, now)
        desk = Desk(self._shelves, self._tokens, now, user=visitor.user)
        request = FormRequest("POST", {"state": flow.state} if flow.state else {})
        issue = _Issue(request, Decider(desk, self._lifetimes), flow, grant)
        answer: Answer = issue.create_authorization_response(flow.redirect_uri, visitor.user)
        tags = (f"user {grant.user}", f"client {grant.client}")
        desk.written += [
            self._shelves.grants.to_add(grant.id, grant, expires=now + _GRANT_KEPT_MS, tags=tags),
            self._shelves.flows.to_remove(held),
        ]
        if flow.launch:
            launch = await self._shelves.launches.get(flow.launch)
            if launch is None:
                return await self.deny(held, "invalid_request"), None
            desk.written.append(self._shelves.launches.to_remove(launch))
        await self._shelves.apply(*desk.written)
        return dict(answer[2])["Location"], grant

    async def deny(self, held: Held[Flow], reason: str = "access_denied") -> str:
        """End the flow without a code; return the address to send the browser to."""
        await self._shelves.apply(self._shelves.flows.to_remove(held))
        error = OAuth2Error(error=reason, redirect_uri=held.value.redirect_uri, state=held.value.state)
        return _location(error) or held.value.redirect_uri

    async def _flow(self, form: dict[str, str], scope: str, browser: str, now: int) -> Flow:
        self._check_audience(form)
        if not form.get("state"):
            raise InvalidRequestError("Missing 'state'.")
        context, launch, must_be = Context(), "", ""
        rights = understand(scope)
        if "launch" in rights.other:
            held = await self._launches.find(form.get("launch", ""))
            if held is None or (held.value.client and held.value.client != form["client_id"]):
                raise InvalidRequestError("The launch is unknown, over, or for another app.")
            context, launch, must_be = held.value.context, held.key, held.value.user
        if not rights.granted:
            raise InvalidScopeError
        return Flow(
            browser=browser,
            client=form["client_id"],
            redirect_uri=form["redirect_uri"],
            scope=rights.granted,
            challenge=form["code_challenge"],
            state=form["state"],
            nonce=form.get("nonce", ""),
            prompt=form.get("prompt", ""),
            max_age=_seconds(form.get("max_age")),
            launch=launch,
            context=context,
            must_be=must_be,
            began=now,
        )

    def _check_audience(self, form: dict[str, str]) -> None:
        if form.get("aud", "").rstrip("/") != self._tokens.site.base:
            raise InvalidRequestError("The 'aud' is not the base address of this FHIR server.")

    def _is_recent(self, flow: Flow, session: Session) -> bool:
        """Tell whether the log-in is as recent as the app asked for (OpenID Connect prompt and max_age)."""
        if flow.prompt == "login" and session.created < flow.began:
            return False
        return flow.max_age is None or session.created >= flow.began - flow.max_age * 1000

    def _grant(self, flow: Flow, visitor: Visitor, scope: str, now: int) -> Grant:
        return Grant(
            id=new_id(),
            client=flow.client,
            user=visitor.user.id,
            fhir_user=flow.fhir_user or visitor.user.fhir_user,
            scope=scope,
            created=now,
            authenticated=visitor.session.value.created,
            context=flow.context,
            session=visitor.session.key if ONLINE in scope.split() else "",
        )


class _Issue(CodeGrant):
    """The end of a flow, in Authlib's words: makes the code and notes it on the desk."""

    def __init__(self, request: FormRequest, server: Decider, flow: Flow, grant: Grant) -> None:
        super().__init__(request, server)
        self._flow = flow
        self._grant = grant

    def save_authorization_code(self, code: str, request: FormRequest) -> None:
        """Note the code."""
        desk: Desk = self.server.desk
        flow = self._flow
        record = Code(
            grant=self._grant.id,
            client=flow.client,
            redirect_uri=flow.redirect_uri,
            scope=self._grant.scope,
            challenge=flow.challenge,
            user=request.user.id,
            until=desk.now + CODE_MS,
            nonce=flow.nonce,
        )
        expires = desk.now + _CODE_KEPT_MS
        desk.written.append(desk.shelves.codes.to_add(digest(code), record, expires=expires))


def _check_prompt(flow: Flow, *, logged_in: bool) -> None:
    """Refuse ``prompt=none``: consent is asked for every time. OpenID Connect Core 3.1.2.1."""
    if flow.prompt == "none":
        raise OAuth2Error(error="consent_required" if logged_in else "login_required")


def _location(error: OAuth2Error) -> str | None:
    """Return where an error is redirected to; None when it must not be."""
    _, _, headers = error()
    found: str | None = dict(headers).get("Location")
    return found


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequestError("'max_age' is a number of seconds.")
    return int(text)
