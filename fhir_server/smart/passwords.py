"""The page on which a person changes the own password: the old one is asked for, and every session ends.

https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html#change-password-feature
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.audit.entry import MINOR, SERIOUS
from fhir_server.faults import Fault
from fhir_server.smart import accounts
from fhir_server.smart.browsing import Browsing
from fhir_server.smart.exchange import SESSION, address_of, auth_path, forget_cookie, form, language
from fhir_server.smart.flow import Visitor
from fhir_server.smart.house import House
from fhir_server.smart.journal import Who
from fhir_server.smart.mint import bound, same
from fhir_server.smart.users import MAX_PASSWORD, MIN_PASSWORD, Locked
from fhir_server.smart.view import page, words
from fhir_server.store.api import Stale


class PasswordPage:
    """The route."""

    def __init__(self, house: House, browsing: Browsing) -> None:
        self._house = house
        self._browsing = browsing
        self._auth = auth_path(house)

    async def password(self, request: Request) -> Response:
        """Show the form (GET), or change the password (POST)."""
        visitor = await self._browsing.visitor(request)
        if visitor is None:
            return self._browsing.error(request, "over", status=401)
        csrf = bound(request.cookies[SESSION], "password")
        if request.method == "GET" or not visitor.user.password:
            return self._page(request, visitor, csrf)
        given = dict(await form(request))
        if not same(given.get("csrf", ""), csrf):
            return self._browsing.error(request, "over", status=403)
        problem = await self._change(request, visitor, given)
        if problem:
            return self._page(request, visitor, csrf, problem)
        response = page("password", language(request), self._auth, done=True)
        forget_cookie(self._house, response, SESSION)
        return response

    async def _change(self, request: Request, visitor: Visitor, given: dict[str, str]) -> str:
        """Change the password; return "" or what is wrong, in the person's words."""
        house, lang, user = self._house, language(request), visitor.user
        old, new = given.get("old", ""), given.get("new", "")
        if problem := _unfit(old, new, given.get("again", ""), lang):
            return problem
        who = Who(user=user, address=address_of(request))
        try:
            known = await house.users.with_password(user.id, old, who.address)
        except Locked as locked:
            text = "Too many attempts: this one was not looked at."
            await house.journal.tell("lockout", who, f"account {user.id}", outcome=SERIOUS, text=text)
            return words(lang, "locked", seconds=locked.seconds)
        if known is None:
            await self._told(who, MINOR, "The old password was wrong.")
            return words(lang, "wrong_old")
        held = await house.shelves.users.get(user.id)
        try:
            assert held is not None
            hashed = await house.passwords.hashed_aside(new)
            changed = msgspec.structs.replace(held.value, password=hashed)
            await accounts.change_user(house.shelves, held, changed, house.clock())
        except (Stale, Fault):  # an administrator changed or removed the account at this moment
            return words(lang, "over")
        await self._told(who)
        return ""

    async def _told(self, who: Who, outcome: int = 0, text: str = "") -> None:
        assert who.user is not None
        target = f"account {who.user.id}"
        await self._house.journal.tell("password-change", who, target, outcome=outcome, text=text)

    def _page(self, request: Request, visitor: Visitor, csrf: str, problem: str = "") -> Response:
        return page(
            "password",
            language(request),
            self._auth,
            problem=problem,
            done=False,
            possible=bool(visitor.user.password),
            person=visitor.user.name,
            account=visitor.user.id,
            csrf=csrf,
            least=MIN_PASSWORD,
            most=MAX_PASSWORD,
        )


def _unfit(old: str, new: str, again: str, lang: str) -> str:
    """Return what is wrong with a new password, "" when nothing is."""
    if new != again:
        return words(lang, "not_the_same")
    if not MIN_PASSWORD <= len(new) <= MAX_PASSWORD:
        return words(lang, "password_length", least=MIN_PASSWORD, most=MAX_PASSWORD)
    return words(lang, "password_as_before") if same(new, old) else ""
