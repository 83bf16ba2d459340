"""The API of administrators, of EHRs that launch apps, and of persons who look after what they allowed.

Security administrators manage clients, accounts and issuers; nobody else does, and they see no records.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access.actor import SECURITY_ADMINISTRATOR, Actor
from fhir_server.access.bearer import insufficient
from fhir_server.faults import Fault, Kind
from fhir_server.smart import accounts
from fhir_server.smart.browsing import Browsing
from fhir_server.smart.exchange import (
    SESSION,
    address_of,
    auth_path,
    forget_cookie,
    form,
    json,
    language,
    redirect,
    tree,
)
from fhir_server.smart.granting import OFFLINE, ONLINE
from fhir_server.smart.house import House
from fhir_server.smart.journal import Who, described
from fhir_server.smart.mint import bound, same
from fhir_server.smart.records import Client, User
from fhir_server.smart.users import totp_uri
from fhir_server.smart.view import page

_HIDDEN: Final = frozenset({"secret", "password", "totp", "totp_used", "registration", "subject"})


class NewClient(msgspec.Struct, forbid_unknown_fields=True):
    """What the API takes to register a client; the fields are those of ``records.Client``."""

    id: str
    scope: str
    name: str = ""
    method: str = "none"
    grants: tuple[str, ...] = ("authorization_code", "refresh_token")
    redirect_uris: tuple[str, ...] = ()
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    organization: str = ""
    purposes: tuple[str, ...] = ()
    introspects: bool = False


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """What the API takes to add an account; the fields are those of ``records.User``."""

    id: str
    name: str
    password: str = ""
    roles: tuple[str, ...] = ()
    fhir_user: str = ""
    organization: str = ""
    practitioner_role: str = ""
    proxies: tuple[str, ...] = ()
    external: tuple[str, ...] = ()


class Administration:
    """The routes."""

    def __init__(self, house: House, browsing: Browsing) -> None:
        self._house = house
        self._browsing = browsing
        self._auth = auth_path(house)

    async def launch(self, request: Request) -> Response:
        """Register an EHR launch: for clients with the scope ``launch``, on behalf of nobody or of a user."""
        actor = await self._actor(request)
        if "launch" not in actor.rights.other:
            raise insufficient("Registering a launch needs a token with the scope launch.")
        body = await tree(request)
        if body is None:
            raise Fault(Kind.SYNTAX, "Send a JSON object.")
        value = await self._house.launches.register(body, actor)
        return json(201, {"launch": value, "iss": self._house.site.base})

    async def clients(self, request: Request) -> Response:
        """List clients (GET) or register one (POST)."""
        who = await self._administrator(request)
        shelves = self._house.shelves
        if request.method == "GET":
            return json(200, [_shown(held.value) for held in await shelves.clients.all()])
        new = await _read(request, NewClient)
        record = Client(**{**msgspec.structs.asdict(new), "created": self._house.clock()})  # checked below
        record = msgspec.structs.replace(record, name=new.name or new.id)
        with_secret = new.method.startswith("client_secret")
        secret = await accounts.add_client(shelves, record, with_secret=with_secret)
        details = (("scope", record.scope), ("organization", record.organization))
        await self._house.journal.tell("client-add", who, f"client {record.id}", details=details)
        return json(201, _shown(record) | ({"client_secret": secret} if secret else {}))

    async def client(self, request: Request) -> Response:
        """Remove a client."""
        who, id_ = await self._administrator(request), request.path_params["id"]
        await accounts.remove_client(self._house.shelves, id_, self._house.clock())
        await self._house.journal.tell("client-remove", who, f"client {id_}")
        return Response(status_code=204)

    async def users(self, request: Request) -> Response:
        """List accounts (GET) or add one (POST); an administrator's TOTP secret is shown this once."""
        who = await self._administrator(request)
        shelves = self._house.shelves
        if request.method == "GET":
            return json(200, [_shown(held.value) for held in await shelves.users.all()])
        new = await _read(request, NewUser)
        given = msgspec.structs.asdict(new)
        password = given.pop("password")
        user = User(**given, subject="", created=self._house.clock())
        user = await accounts.add_user(shelves, self._house.passwords, user, password)
        await self._house.journal.tell("account-add", who, f"account {user.id}", details=described(user))
        return json(201, _shown(user) | ({"totp_uri": totp_uri(user, "FHIR server")} if user.totp else {}))

    async def user(self, request: Request) -> Response:
        """Remove an account (DELETE), or disable and enable it (PATCH ``{"disabled": true}``)."""
        who = await self._administrator(request)
        shelves, id_, now = self._house.shelves, request.path_params["id"], self._house.clock()
        if request.method == "DELETE":
            await accounts.remove_user(shelves, id_, now)
            await self._house.journal.tell("account-remove", who, f"account {id_}")
            return Response(status_code=204)
        held, body = await shelves.users.get(id_), await tree(request)
        if held is None:
            raise Fault(Kind.NOT_FOUND, "No account has this name.")
        if body is None or set(body) != {"disabled"} or not isinstance(body["disabled"], bool):
            raise Fault(Kind.BAD_REQUEST, 'Send {"disabled": true} or {"disabled": false}.')
        user = msgspec.structs.replace(held.value, disabled=body["disabled"])
        await accounts.change_user(shelves, held, user, now)
        event = "account-disable" if user.disabled else "account-enable"
        await self._house.journal.tell(event, who, f"account {id_}")
        return json(200, _shown(user))

    async def apps(self, request: Request) -> Response:
        """Show a person what they have allowed, and end what they no longer want."""
        visitor = await self._browsing.visitor(request)
        if visitor is None:
            return self._browsing.error(request, "over", status=401)
        csrf = bound(request.cookies[SESSION], "apps")
        shelves = self._house.shelves
        if request.method == "POST":
            given = dict(await form(request))
            mine = {held.key for held in await shelves.grants.find(f"user {visitor.user.id}")}
            if not same(given.get("csrf", ""), csrf) or given.get("grant") not in mine:
                return self._browsing.error(request, "over", status=403)
            await accounts.end_grant(shelves, given["grant"], self._house.clock())
            who = Who(user=visitor.user, address=address_of(request))
            await self._house.journal.tell("grant-end", who, f"grant {given['grant']}")
            return redirect(f"{self._auth}/apps")
        listed = []
        for held in await shelves.grants.find(f"user {visitor.user.id}"):
            client = await shelves.clients.value(held.value.client)
            since = datetime.fromtimestamp(held.value.created / 1000, UTC).astimezone(
                self._house.settings.zone
            )
            lasting = not {OFFLINE, ONLINE}.isdisjoint(held.value.scope.split())
            name = client.name if client else held.value.client
            listed.append({"id": held.key, "name": name, "since": f"{since:%Y-%m-%d}", "lasting": lasting})
        return page("apps", language(request), self._auth, apps=listed, csrf=csrf)

    async def logout(self, request: Request) -> Response:
        """Ask, then end the session of this browser."""
        visitor = await self._browsing.visitor(request)
        lang = language(request)
        if visitor is None:
            return page("logout", lang, self._auth, done=True)
        csrf = bound(request.cookies[SESSION], "logout")
        if request.method == "GET":
            return page("logout", lang, self._auth, done=False, person=visitor.user.name, csrf=csrf)
        if not same(dict(await form(request)).get("csrf", ""), csrf):
            return self._browsing.error(request, "over", status=403)
        await self._house.sessions.end(request.cookies[SESSION])
        await self._house.journal.tell("logout", Who(user=visitor.user, address=address_of(request)))
        response = page("logout", lang, self._auth, done=True)
        forget_cookie(self._house, response, SESSION)
        return response

    async def _actor(self, request: Request) -> Actor:
        header = request.headers.get("authorization")
        await self._house.keys.refresh()
        return await self._house.bearer.actor(header.encode("latin-1") if header else None)

    async def _administrator(self, request: Request) -> Who:
        """Return the security administrator who asks; Fault FORBIDDEN for anybody else."""
        actor = await self._actor(request)
        if SECURITY_ADMINISTRATOR not in actor.roles:
            raise insufficient("Only a security administrator manages clients and accounts.")
        # Such an account has no record of a person: the grant that the token is of names it.
        grant = await self._house.shelves.grants.value((actor.token or "").partition(".")[0])
        user = await self._house.shelves.users.value(grant.user) if grant else None
        return Who(actor.client, user, address_of(request), actor.token or "")


async def _read(request: Request, type_: type[Any]) -> Any:
    try:
        return msgspec.convert(await tree(request), type_)
    except msgspec.ValidationError:
        names = ", ".join(field.name for field in msgspec.structs.fields(type_))
        raise Fault(Kind.BAD_REQUEST, f"Send a JSON object with some of these members: {names}.") from None


def _shown(record: Client | User) -> dict[str, Any]:
    """Return a record as the API shows it: nothing that opens anything."""
    members: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in members.items() if name not in _HIDDEN}
