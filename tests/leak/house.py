"""A server with authentication on, two hospitals, two patients, one of them secret, and tokens to call it.

The tokens are signed by a key of the tests that the server trusts; everything else is the real thing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from fhir_server.access.bearer import Bearer, Trust
from fhir_server.app import App, Service, open_service
from fhir_server.config import Settings
from tests.http.server import BASE, Server, Tree, entry

ISSUER = "https://issuer.example.org"
SECRET = "Zanzibarov"  # the family name of the patient whom the callers of these tests must not see
SECRET_CODE = "99999-9"
SECRET_VALUE = "777.77"
SECRET_NOTE = "quicksilver"
SECRETS = (SECRET, SECRET_CODE, SECRET_VALUE, SECRET_NOTE)
"""What no answer may hold to a caller who may not see the patient ``hidden``, unless the caller sent it."""

_MOVING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|_page=[\w-]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_HEADERS = (
    *("etag", "location", "content-type", "allow", "www-authenticate", "cache-control", "vary"),
    *("x-security-context", "content-disposition"),
)

_KEY = ECKey.generate_key("P-256", {"kid": "test"})


async def _open(settings: Settings) -> Service:
    service = await open_service(settings)
    trust = Trust(ISSUER, BASE, lambda: KeySet([_KEY]))
    return Service(
        run=service.run,
        ready=service.ready,
        close=service.close,
        store=service.store,
        jobs=service.jobs,
        authenticate=Bearer(trust, _is_revoked).actor,
    )


REVOKED: set[str] = set()


async def _is_revoked(actor: Any) -> bool:
    return actor.token in REVOKED


def token(scope: str, key: ECKey = _KEY, typ: str = "at+jwt", **claims: Any) -> str:
    """Return a bearer token with these claims; a claim of None is left out."""
    now = int(time())
    whole = {
        "iss": ISSUER,
        "aud": BASE,
        "client_id": "app",
        "scope": scope,
        "jti": uuid4().hex,
        "iat": now,
        "exp": now + 3600,
        **claims,
    }
    header = {"alg": "ES256", "kid": "test", "typ": typ}
    return jwt.encode(header, {k: v for k, v in whole.items() if v is not None}, key)


class Guarded(Server):
    """The server with authentication; calls carry the token that :meth:`as_` was given last, or none."""

    bearer: str | None = None

    def start(self) -> None:
        """Open the store and serve."""
        settings = Settings.model_validate({**self._settings.model_dump(), "insecure_no_auth": False})
        self._app = App(settings, _open)
        self._runner.run(self._app.start())
        transport = httpx.ASGITransport(self._app)
        self._client = httpx.AsyncClient(transport=transport, base_url=f"{BASE}/", timeout=60)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send one request with the caller's token."""
        if self.bearer is not None:
            headers.setdefault("authorization", f"Bearer {self.bearer}")
        return super().__call__(method, path, body, **headers)

    def beside(self) -> Guarded:
        """Return another server of the same folder, as a second worker is one; the caller starts it."""
        made = object.__new__(Guarded)
        made.folder, made.engine, made._settings = self.folder, self.engine, self._settings
        made._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        return made

    @contextmanager
    def as_(self, bearer: str | None) -> Iterator[Guarded]:
        """Call as the holder of ``bearer`` within the block."""
        before, self.bearer = self.bearer, bearer
        try:
            yield self
        finally:
            self.bearer = before


@contextmanager
def guarded(
    folder: Path, *, hidden: bool = True, trees: Sequence[Tree] = (), **changes: Any
) -> Iterator[Guarded]:
    """Serve from an empty folder, filled with ``trees`` or :func:`world`; without what is hidden if asked."""
    server = Guarded(folder, base_url=BASE, **changes)
    server.start()
    try:
        with server.as_(ROOT):
            kept = [tree for tree in trees or world() if hidden or not tree["id"].startswith("hidden")]
            response = server.transact(*(entry("PUT", f"{t['resourceType']}/{t['id']}", t) for t in kept))
            assert response.status_code == 200, response.text
            for id_ in ("mine-gone", *(["hidden-gone"] if hidden else [])):
                assert server.delete(f"Observation/{id_}").status_code == 204
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Route:
    """One way out: a request, and a word that its answer shows (None: it is about what is hidden alone)."""

    name: str
    path: str
    shows: str | None = None
    method: str = "GET"
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def told(response: httpx.Response) -> tuple[Any, ...]:
    """Return all that a caller is told, without what differs between any two servers."""
    headers = {name: response.headers.get(name) for name in _HEADERS}
    return response.status_code, _MOVING.sub("~", response.text), headers


def not_there(house: Guarded, twin: Guarded, route: Route, bearer: str, *, shows: bool = True) -> None:
    """Assert that ``house`` tells ``bearer`` no more than ``twin`` does, which never held what is hidden.

    ``shows``: also that it tells what it is there for, which ``route.shows`` says.
    """
    with house.as_(bearer), twin.as_(bearer):
        answer = house(route.method, route.path, route.body, **route.headers)
        without = twin(route.method, route.path, route.body, **route.headers)

    assert told(answer) == told(without)
    for secret in SECRETS:
        assert secret not in answer.text or secret in f"{route.path} {route.body}"
    assert "hidden" not in "".join(re.findall(r'"fullUrl":"[^"]*"', answer.text))
    if shows and route.shows is not None:
        assert answer.status_code == 200
        assert route.shows in answer.text


ROOT = token("system/*.cruds system/AuditEvent.cruds relabel", client_id="root")
"""A client of the house itself, without an organisation: everything, security labels too."""
MINE = token("patient/*.cruds", patient="mine", fhirUser="Patient/mine")
"""An app of the patient ``mine``."""
DOCTOR = token("user/*.cruds", fhirUser="Practitioner/doctor", organization="Organization/here")
"""A practitioner of the hospital ``here``, which manages the patient ``mine``."""
HOSPITAL = token("system/*.cruds", client_id="his", organization="Organization/here")
"""The hospital information system of ``here``."""
PROXY = token("user/*.cruds", fhirUser="RelatedPerson/mother")
"""The mother of ``mine``."""

CALLERS = {"patient": MINE, "practitioner": DOCTOR, "organisation": HOSPITAL, "proxy": PROXY}


def world() -> list[Tree]:
    """Return what is stored: ``mine`` of the hospital ``here``, ``hidden`` of the hospital ``there``."""
    return [
        {"resourceType": "Organization", "id": "here", "name": "Here"},
        {"resourceType": "Organization", "id": "there", "name": "There"},
        {"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "House"}]},
        {"resourceType": "Medication", "id": "aspirin", "code": {"text": "aspirin"}},
        person("mine", "Minear", "here"),
        person("hidden", SECRET, "there"),
        {
            "resourceType": "RelatedPerson",
            "id": "mother",
            "patient": {"reference": "Patient/mine"},
            "period": {"start": "2020-01-01"},
        },
        visit("mine-visit", "mine", "here"),
        visit("hidden-visit", "hidden", "there"),
        value("mine-1", "mine", "1111-1", "10.5", encounter={"reference": "Encounter/mine-visit"}),
        value("hidden-1", "hidden", SECRET_CODE, SECRET_VALUE),
        value("mine-gone", "mine", "1111-1", "11.5"),
        value("hidden-gone", "hidden", SECRET_CODE, SECRET_VALUE),
        # About the hidden patient, with "mine" in places that confer nothing.
        value("hidden-focus", "hidden", SECRET_CODE, SECRET_VALUE, focus=[{"reference": "Patient/mine"}]),
        # About mine, with references that lead away from what may be seen.
        value("mine-focus", "mine", "1111-1", "12.5", focus=[{"reference": "Patient/hidden"}]),
        value("mine-derived", "mine", "1111-1", "13.5", derivedFrom=[{"reference": "Observation/hidden-1"}]),
        value(
            "hidden-derived", "hidden", SECRET_CODE, "1.5", derivedFrom=[{"reference": "Observation/mine-1"}]
        ),
        {
            "resourceType": "List",
            "id": "mine-list",
            "status": "current",
            "mode": "working",
            "subject": {"reference": "Patient/mine"},
            "entry": [{"item": {"reference": f"Observation/{id_}"}} for id_ in ("mine-1", "hidden-1")],
        },
        order("mine-order", "mine", "1111-1"),
        order("hidden-order", "hidden", SECRET_CODE),
        device("mine-device", "mine"),
        device("hidden-device", "hidden"),
        device("free-device", None),
        {
            "resourceType": "Binary",
            "id": "hidden-scan",
            "contentType": "text/plain",
            "securityContext": {"reference": "Patient/hidden"},
            "data": "cXVpY2tzaWx2ZXI=",
        },
        {
            "resourceType": "Binary",
            "id": "hidden-orphan",
            "contentType": "text/plain",
            "data": "cXVpY2tzaWx2ZXI=",
        },
        {
            "resourceType": "Binary",
            "id": "mine-scan",
            "contentType": "text/plain",
            "securityContext": {"reference": "Encounter/mine-visit"},
            "data": "cGxhaW4=",
        },
    ]


def person(id_: str, family: str, organization: str, **more: Any) -> Tree:
    """Return a Patient whom an organisation manages."""
    return {
        "resourceType": "Patient",
        "id": id_,
        "name": [{"family": family, "given": ["Ada"]}],
        "identifier": [{"system": "urn:tag", "value": family}],
        "gender": "female",
        "managingOrganization": {"reference": f"Organization/{organization}"},
        **more,
    }


def visit(id_: str, patient: str, organization: str) -> Tree:
    """Return an Encounter."""
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "serviceProvider": {"reference": f"Organization/{organization}"},
    }


def value(id_: str, patient: str, code: str, number: str, **more: Any) -> Tree:
    """Return an Observation."""
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-03-01",
        "valueQuantity": {"value": Decimal(number), "unit": "mmol/L"},
        "note": [{"text": SECRET_NOTE if patient == "hidden" else "plain"}],
        **more,
    }


def order(id_: str, patient: str, code: str) -> Tree:
    """Return a MedicationRequest that contains its Medication."""
    coding = [{"system": "http://loinc.org", "code": code}]
    return {
        "resourceType": "MedicationRequest",
        "id": id_,
        "contained": [{"resourceType": "Medication", "id": "drug", "code": {"coding": coding}}],
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "#drug"},
        "subject": {"reference": f"Patient/{patient}"},
    }


def device(id_: str, patient: str | None) -> Tree:
    """Return a Device in a patient's use, or in nobody's."""
    owner = {} if patient is None else {"patient": {"reference": f"Patient/{patient}"}}
    return {
        "resourceType": "Device",
        "id": id_,
        "serialNumber": SECRET if patient == "hidden" else "1",
        **owner,
    }
