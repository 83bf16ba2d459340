"""The pages that a person walks through: log in, one-time code, choose a patient, allow.

Each page is one GET of ``/auth/flow/{id}``; each form a POST to it, with a token that only this browser has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.audit.entry import MINOR, SERIOUS
from fhir_server.smart.exchange import (
    BROWSER,
    LANGUAGE,
    SESSION,
    address_of,
    auth_path,
    form,
    language,
    pairs_of,
    redirect,
    set_cookie,
)
from fhir_server.smart.external import NotLoggedIn
from fhir_server.smart.flow import Refused, Visitor
from fhir_server.smart.house import House
from fhir_server.smart.journal import Who
from fhir_server.smart.mint import bound, new_secret, same
from fhir_server.smart.records import Flow, User
from fhir_server.smart.shelf import Held
from fhir_server.smart.texts import TEXTS, VISITS
from fhir_server.smart.users import PRACTITIONER, Locked, is_administrator
from fhir_server.smart.view import consent_lines, page, words
from fhir_server.store.api import Stale

_MANY: Final = 1000
_LOCKED: Final = "Too many attempts: this one was not looked at."


class Browsing:
    """The routes of the pages that lead to a code."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._auth = auth_path(house)

    async def authorize(self, request: Request) -> Response:
        """Begin a flow: the authorization endpoint, GET and POST. RFC 6749 3.1"""
        pairs = await form(request) if request.method == "POST" else pairs_of(request.url.query)
        browser = request.cookies.get(BROWSER) or new_secret()
        visitor = await self.visitor(request)
        await self._house.keys.refresh()
        try:
            key = await self._house.flows.begin(pairs, browser, logged_in=visitor is not None)
        except Refused as refusal:
            return redirect(refusal.redirect) if refusal.redirect else self.error(request, refusal.error)
        response = redirect(f"{self._auth}/flow/{key}")
        set_cookie(self._house, response, BROWSER, browser)
        return response

    async def show(self, request: Request) -> Response:
        """Show the page that is due."""
        held = await self._flow(request)
        if held is None:
            return self.error(request, "over")
        response = await self._page(request, held, await self.visitor(request))
        if "lang" in request.query_params:
            set_cookie(self._house, response, LANGUAGE, language(request))
        return response

    async def act(self, request: Request) -> Response:
        """Carry out a form."""
        fields = (await form(request))[:_MANY]
        held = await self._flow(request)
        given = dict(fields)
        if held is None or not same(given.get("csrf", ""), self._csrf(request, held.key)):
            return self.error(request, "over", status=403)
        steps: dict[str, Callable[..., Awaitable[Response]]] = {
            "login": self._login,
            "totp": self._totp,
            "external": self._external,
            "search": self._search,
            "patient": self._patient,
            "encounter": self._encounter,
            "consent": self._consent,
        }
        try:
            if given.get("step") == "cancel":
                return await self._cancel(request, held)
            step = steps.get(given.get("step", ""), self._again)
            return await step(request, held, fields)
        except Stale:  # a second window, or the button pressed twice
            return self.error(request, "over", status=409)

    async def returned(self, request: Request) -> Response:
        """Take back a person from an external provider."""
        browser = request.cookies.get(BROWSER, "")
        query = dict(pairs_of(request.url.query))
        try:
            user, flow = await self._house.providers.finish(query, browser)
        except NotLoggedIn:
            await self._told(request, "login", MINOR, "The log-in at another provider did not succeed.")
            return self.error(request, "external_failed")
        except Stale:
            return self.error(request, "over")
        if is_administrator(user):
            held = await self._house.flows.find(flow, browser)
            if held is None:
                return self.error(request, "over")
            # Whatever the provider asked for, an administrator shows a code that this house knows.
            await self._house.flows.replace(held, pending=user.id)
            return redirect(f"{self._auth}/flow/{flow}")
        return await self._logged_in(request, user, ("ext",), f"{self._auth}/flow/{flow}")

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who is logged in in this browser."""
        found = await self._house.sessions.of(request.cookies.get(SESSION, ""))
        return None if found is None else Visitor(*found)

    def error(self, request: Request, code: str, *, status: int = 400) -> Response:
        """Return the page that tells a person what went wrong."""
        lang = language(request)
        key = code if code in TEXTS[lang] else "invalid_request"
        shown = "" if code in ("over", "external_failed") else code
        return page("error", lang, self._auth, status=status, message=words(lang, key), code=shown)

    async def _flow(self, request: Request) -> Held[Flow] | None:
        browser = request.cookies.get(BROWSER, "")
        return await self._house.flows.find(request.path_params["flow"], browser)

    def _csrf(self, request: Request, flow: str) -> str:
        return bound(request.cookies.get(BROWSER, ""), "flow", flow)

    async def _page(
        self, request: Request, held: Held[Flow], visitor: Visitor | None, problem: str = "", text: str = ""
    ) -> Response:
        flow = held.value
        lang = language(request)
        shared: dict[str, Any] = {
            "csrf": self._csrf(request, held.key),
            "app": await self._app(flow),
            "problem": problem,
            "goes_to": flow.redirect_uri,
        }
        step = self._house.flows.step(flow, visitor)
        if step == "totp":
            return page("totp", lang, self._auth, **shared)
        if step == "login" or visitor is None:
            if visitor and flow.must_be and not problem:
                shared["problem"] = words(lang, "login_as")
            return page("login", lang, self._auth, issuers=await self._house.providers.offered(), **shared)
        if step == "patient":
            return await self._patient_page(request, held, visitor.user, shared, text)
        if step == "encounter":
            return await self._encounter_page(request, held, visitor.user, shared)
        rights = self._house.flows.grantable(flow, visitor.user)
        lines, kept = consent_lines(rights, lang)
        if not rights.granted:
            return redirect(await self._house.flows.deny(held, "invalid_scope"))
        shared["patient"] = await self._patient_name(flow, visitor.user)
        shared["visit"] = await self._visit_name(flow, visitor.user, lang)
        return page("consent", lang, self._auth, lines=lines, kept=kept, **shared)

    async def _patient_page(
        self, request: Request, held: Held[Flow], user: User, shared: dict[str, Any], text: str
    ) -> Response:
        flow, flows, patients = held.value, self._house.flows, self._house.patients
        if flow.launch and flow.context.patient:
            # The EHR chose; that this account may open the record is seen here.
            choice = await patients.chosen(user, flow.context.patient)
            if choice is None:
                return redirect(await flows.deny(held))
            await flows.choose(held, user, choice)
            return redirect(self._at(held))
        choices = await patients.choices(user, text)
        searchable = PRACTITIONER in user.roles
        if len(choices) == 1 and not searchable:
            await flows.choose(held, user, choices[0])
            return redirect(self._at(held))
        shared |= {"choices": choices, "searchable": searchable, "text": text}
        return page("patient", language(request), self._auth, **shared)

    async def _encounter_page(
        self, request: Request, held: Held[Flow], user: User, shared: dict[str, Any]
    ) -> Response:
        flow, lang = held.value, language(request)
        visits = await self._house.encounters.choices(user, flow.fhir_user, flow.context.patient)
        name = await self._patient_name(flow, user)
        shared |= {"visits": visits, "patient": name, "kinds": VISITS[lang]}
        return page("encounter", lang, self._auth, **shared)

    async def _login(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        given, lang = dict(fields), language(request)
        name = given.get("name", "").strip()
        app = held.value.client
        try:
            user = await self._house.users.with_password(name, given.get("password", ""), address_of(request))
        except Locked as locked:
            await self._told(request, "lockout", SERIOUS, _LOCKED, await self._known(name), app)
            problem = words(lang, "locked", seconds=locked.seconds)
            return await self._page(request, held, None, problem)
        if user is None:
            await self._told(request, "login", MINOR, "Wrong password.", await self._known(name), app)
            return await self._page(request, held, None, words(lang, "wrong"))
        if user.totp:
            await self._house.flows.replace(held, pending=user.id)
            return redirect(self._at(held))
        if is_administrator(user):
            await self._told(request, "login", SERIOUS, "An administrator without one-time codes.", user, app)
            return await self._page(request, held, None, words(lang, "needs_totp"))
        return await self._logged_in(request, user, ("pwd",), self._at(held), app)

    async def _totp(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        lang = language(request)
        user = await self._house.shelves.users.value(held.value.pending) if held.value.pending else None
        if user is None or user.disabled:
            return self.error(request, "over")
        code = dict(fields).get("code", "").replace(" ", "")
        try:
            right = await self._house.users.with_code(user, code, address_of(request))
        except Locked as locked:
            await self._told(request, "lockout", SERIOUS, _LOCKED, user, held.value.client)
            return await self._page(request, held, None, words(lang, "locked", seconds=locked.seconds))
        if not right:
            await self._told(request, "login", MINOR, "Wrong one-time code.", user, held.value.client)
            return await self._page(request, held, None, words(lang, "wrong_code"))
        await self._house.flows.replace(held, pending="")
        return await self._logged_in(request, user, ("pwd", "otp"), self._at(held), held.value.client)

    async def _logged_in(
        self, request: Request, user: User, methods: tuple[str, ...], to: str, app: str = ""
    ) -> Response:
        details = (("methods", " ".join(methods)),)
        await self._house.journal.tell("login", Who(app, user, address_of(request)), details=details)
        # A new session after every log-in: a cookie that somebody planted before is worth nothing.
        secret, _ = await self._house.sessions.begin(user, methods)
        response = redirect(to)
        set_cookie(self._house, response, SESSION, secret)
        return response

    async def _external(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        browser = request.cookies.get(BROWSER, "")
        try:
            to = await self._house.providers.begin(dict(fields).get("issuer", ""), held.key, browser)
        except NotLoggedIn:
            problem = words(language(request), "external_failed")
            return await self._page(request, held, None, problem)
        return redirect(to)

    async def _search(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        text = dict(fields).get("text", "")[:100]
        return await self._page(request, held, await self.visitor(request), text=text)

    async def _patient(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        visitor = await self.visitor(request)
        if visitor is None or held.value.launch:
            return redirect(self._at(held))
        choice = await self._house.patients.chosen(visitor.user, dict(fields).get("patient", ""))
        if choice is None:
            return await self._page(request, held, visitor)
        await self._house.flows.choose(held, visitor.user, choice)
        return redirect(self._at(held))

    async def _encounter(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        visitor = await self.visitor(request)
        flow, flows = held.value, self._house.flows
        if visitor is None or flows.step(flow, visitor) != "encounter":
            return redirect(self._at(held))
        wanted = dict(fields).get("encounter", "")
        if wanted:
            found = await self._house.encounters.chosen(
                visitor.user, flow.fhir_user, flow.context.patient, wanted
            )
            if found is None:
                return await self._page(request, held, visitor)
        await flows.visit(held, visitor.user, wanted)
        return redirect(self._at(held))

    async def _consent(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        visitor = await self.visitor(request)
        if visitor is None or self._house.flows.step(held.value, visitor) != "consent":
            return redirect(self._at(held))
        selected = [scope for name, value in fields if name == "scope" for scope in value.split(" ")]
        to, granted = await self._house.flows.allow(held, visitor, selected)
        who = Who(held.value.client, visitor.user, address_of(request))
        if granted is None:
            await self._house.journal.tell("grant", who, outcome=MINOR, text="Not allowed.")
        else:
            details = (("scope", granted.scope),)
            await self._house.journal.tell("grant", who, f"grant {granted.id}", details=details)
        return redirect(to)

    async def _cancel(self, request: Request, held: Held[Flow]) -> Response:
        visitor = await self.visitor(request)
        if visitor is not None:
            who = Who(held.value.client, visitor.user, address_of(request))
            await self._house.journal.tell("grant", who, outcome=MINOR, text="Not allowed.")
        return redirect(await self._house.flows.deny(held))

    async def _known(self, name: str) -> User | None:
        """Return the account of a name that was typed; no other is written down: it may be a password."""
        return await self._house.shelves.users.value(name)

    async def _told(
        self, request: Request, event: str, outcome: int, text: str, user: User | None = None, app: str = ""
    ) -> None:
        who = Who(app, user, address_of(request))
        await self._house.journal.tell(event, who, outcome=outcome, text=text)

    async def _again(self, request: Request, held: Held[Flow], fields: list[tuple[str, str]]) -> Response:
        del request, fields  # a step that no page has
        return redirect(self._at(held))

    def _at(self, held: Held[Flow]) -> str:
        return f"{self._auth}/flow/{held.key}"

    async def _app(self, flow: Flow) -> str:
        client = await self._house.shelves.clients.value(flow.client)
        return client.name if client else flow.client

    async def _visit_name(self, flow: Flow, user: User, lang: str) -> str:
        context = flow.context
        if not context.encounter or flow.launch:
            return ""
        found = await self._house.encounters.chosen(user, flow.fhir_user, context.patient, context.encounter)
        return f"{found.begun} {VISITS[lang].get(found.kind, found.kind)}".strip() if found else ""

    async def _patient_name(self, flow: Flow, user: User) -> str:
        if not flow.context.patient:
            return ""
        choice = await self._house.patients.chosen(user, flow.context.patient)
        return choice.name if choice else flow.context.patient
