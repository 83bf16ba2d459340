"""Before a server is measured: are its answers right? A fast wrong answer is no figure."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.bench.population import PAGE, Population
from tests.bench.servers import HOST, Server
from tests.bench.wire import FHIR_JSON


class AnswerError(RuntimeError):
    """A server answered what it must not; the message says which and what."""


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, *, token: str = ""
) -> tuple[int, Any]:
    """Send one request and return the status and the decoded JSON body (None when empty)."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    try:
        headers = {"Accept": FHIR_JSON} | ({"Content-Type": FHIR_JSON} if body else {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        return reply.status, json.loads(answer) if answer else None
    finally:
        connection.close()


def check_answers(server: Server, population: Population) -> None:
    """Read one resource, find one patient, fetch one sorted page. Raises :class:`AnswerError`."""
    path = population.reads[0]
    status, resource = ask(server, "GET", path)
    expected = path.removeprefix("/fhir/")
    if status != 200 or f"{resource['resourceType']}/{resource['id']}" != expected:
        raise AnswerError(f"{server.name} answered {status} to GET {path}")

    status, found = ask(server, "GET", population.identifiers[0])
    if status != 200 or len(found.get("entry", [])) != 1:
        raise AnswerError(f"{server.name} did not find exactly one patient by identifier (HTTP {status})")

    status, page = ask(server, "GET", population.sorted_pages[0])
    entries = page.get("entry", []) if status == 200 else []
    dates = [entry["resource"]["effectiveDateTime"] for entry in entries]
    if len(dates) != PAGE or dates != sorted(dates, reverse=True):
        raise AnswerError(f"{server.name} did not return {PAGE} observations, newest first (HTTP {status})")


def check_validates(server: Server) -> None:
    """Send what breaks a required binding; it must be refused, or the write figures mean nothing."""
    status, _ = ask(server, "POST", "/fhir/Patient", b'{"resourceType":"Patient","gender":"nope"}')
    if status not in (400, 422):
        raise AnswerError(
            f"{server.name} answered {status} to a Patient whose gender is no code: it does not validate"
        )
