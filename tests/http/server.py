"""The whole real server in this process: its own data folder and keys, called over ASGI by httpx.

Every answer is checked on its way to the test: a refusal must be an OperationOutcome that is itself valid R4
and tells nothing of the machine or of a person; a success must be valid R4 too.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from lxml import etree

from fhir_server.app import App, create_app
from fhir_server.resources.codec import decode, encode
from fhir_server.resources.xml import decode_xml
from fhir_server.validation import errors
from tests import engines
from tests.http.samples import PLANTED

Tree = dict[str, Any]
Call = tuple[str, str, Any, dict[str, str]]

HOST = "http://localhost:8080"
BASE = f"{HOST}/fhir"

_LEAKS = re.compile(
    r"Traceback|\bSELECT\b|\bINSERT INTO\b|\bWHERE\b|[Ss][Qq][Ll]ite|"
    r"fhir_server[./]|\.py\b|/tmp/|File \"|object at 0x"
)
_WHOLE_BUNDLES = 200
"""Bundles up to this many entries are validated whole; larger ones would cost seconds a test."""


class Server:
    """A running server; calls are synchronous, one after another unless sent :meth:`together`."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.engine = engines.current()
        self._settings = engines.settings(folder, **{"insecure_no_auth": True, **changes})
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def start(self) -> None:
        """Open the store and serve."""
        self._app: App = create_app(self._settings)
        try:
            self._runner.run(self._app.start())
        except BaseException:
            self._runner.close()
            raise
        transport = httpx.ASGITransport(self._app)
        self._client = httpx.AsyncClient(transport=transport, base_url=f"{BASE}/", timeout=60)

    def stop(self) -> None:
        """Close the store; what was written stays in the folder, and :meth:`start` opens it again."""
        self._runner.run(self._client.aclose())
        self._runner.run(self._app.stop())

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._runner.close()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send one request; header names are keywords with underscores, a dict or list becomes JSON."""
        return self._runner.run(self._send((method, path, body, headers)))

    def together(self, calls: Sequence[Call]) -> list[httpx.Response]:
        """Send requests at the same time; the answers are in the order of the requests."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*map(self._send, calls))

        return self._runner.run(all_of_them())

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        """Send a request as httpx takes it; the answer is checked as any other."""

        async def one() -> httpx.Response:
            response = await self._client.request(method, url, **given)
            check_answer(response, method)
            return response

        return self._runner.run(one())

    async def _send(self, call: Call) -> httpx.Response:
        # A fixture that did not ask for the engine would answer for one that it does not run on.
        assert self.engine == engines.current()
        method, path, body, headers = call
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body
        if isinstance(body, (dict, list)):
            content = dump(body)
            patch = "application/json-patch+json"
            named.setdefault("content-type", patch if isinstance(body, list) else "application/fhir+json")
        response = await self._client.request(method, path, content=content, headers=named)
        check_answer(response, method)
        return response

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET ``path``."""
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """POST to ``path``."""
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """PUT to ``path``."""
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """PATCH ``path``: a list is a JSON Patch, a dict a FHIRPath Patch."""
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> httpx.Response:
        """DELETE ``path``."""
        return self("DELETE", path, **headers)

    def create(self, tree: Tree) -> Tree:
        """Create a resource that must be accepted; return it as stored."""
        response = self.post(tree["resourceType"], tree)
        assert response.status_code == 201, response.text
        return load(response)

    def find(self, path: str) -> list[str]:
        """Search; return the ids of the matches of this page in order."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return matches(load(response))

    def pages(self, path: str, **headers: str) -> Iterator[Tree]:
        """Follow ``next`` from ``path`` to the end; fails on a link that leads in a circle."""
        seen = set()
        address: str | None = path
        while address is not None:
            assert address not in seen, "a next link leads to itself"
            seen.add(address)
            response = self.get(address, **headers)
            assert response.status_code == 200, response.text
            bundle = load(response)
            yield bundle
            address = links(bundle).get("next")

    def transact(self, *entries: Tree, **headers: str) -> httpx.Response:
        """POST the entries as a transaction."""
        return self.post("", bundle("transaction", entries), **headers)


@contextmanager
def served(folder: Path, **changes: Any) -> Iterator[Server]:
    """Serve from an empty folder with the given settings."""
    server = Server(folder, **changes)
    server.start()
    try:
        yield server
    finally:
        server.close()


def dump(tree: Any) -> bytes:
    """Write JSON as a client would: Decimals as numbers with all their digits."""
    return encode(tree)


def load(response: httpx.Response) -> Tree:
    """Return the resource in a response, JSON or XML, numbers as Decimal."""
    if "xml" in response.headers["content-type"]:
        return decode_xml(response.content, max_depth=500)
    return decode(response.content, max_depth=500)


def bundle(type_: str, entries: Iterable[Tree]) -> Tree:
    """Return a Bundle to post."""
    listed = list(entries)
    return {"resourceType": "Bundle", "type": type_, **({"entry": listed} if listed else {})}


def entry(
    method: str, url: str, resource: Tree | None = None, full_url: str | None = None, **request: str
) -> Tree:
    """Return one entry of a batch or transaction; further keywords are Bundle.entry.request's (ifMatch …)."""
    made: Tree = {} if full_url is None else {"fullUrl": full_url}
    if resource is not None:
        made["resource"] = resource
    return {**made, "request": {"method": method, "url": url, **request}}


def links(bundle: Tree) -> dict[str, str]:
    """Return a Bundle's links by relation."""
    return {link["relation"]: link["url"] for link in bundle.get("link", [])}


def matches(bundle: Tree, mode: str = "match") -> list[str]:
    """Return the ids of a searchset's entries of one mode, in order."""
    return [e["resource"]["id"] for e in bundle.get("entry", []) if e["search"]["mode"] == mode]


def statuses(bundle: Tree) -> list[int]:
    """Return the status of each entry of a batch or transaction response, in order."""
    return [int(entry["response"]["status"].partition(" ")[0]) for entry in bundle.get("entry", [])]


def check_answer(response: httpx.Response, method: str) -> None:
    """Fail unless an answer keeps the promises that every answer keeps."""
    assert response.status_code < 500 or response.status_code in {501, 503}, response.text
    assert re.fullmatch(r"[A-Za-z0-9\-._]{1,64}", response.headers["x-request-id"])
    if not response.content:
        assert response.status_code in {200, 201, 202, 204, 304} or method == "HEAD"
        return
    if "fhir+" not in response.headers["content-type"]:
        return
    tree = load(response)
    if response.status_code >= 400:
        check_outcome(tree)
        check_silence(response.text)
        return
    is_large = len(tree.get("entry", [])) > _WHOLE_BUNDLES
    if not is_large and b"SUBSETTED" not in response.content:
        assert errors(tree) == []


def check_outcome(tree: Tree) -> None:
    """Fail unless ``tree`` is an OperationOutcome that a client can work with."""
    assert tree["resourceType"] == "OperationOutcome"
    assert errors(tree) == []
    for issue in tree["issue"]:
        assert issue["severity"] in {"fatal", "error", "warning"}
        assert len(issue["diagnostics"]) > 10, issue
        assert all(issue.get("expression", ["given"]))


def check_silence(text: str) -> None:
    """Fail when a refusal tells of a person, of code, of SQL or of the machine's paths."""
    leak = _LEAKS.search(text)
    assert leak is None, f"a refusal says {leak.group()!r}: {text}"
    for secret in PLANTED:
        assert secret not in text, f"a refusal repeats what it was sent: {text}"


def refused(response: httpx.Response, status: int, code: str, *expression: str) -> Tree:
    """Fail unless the answer is this refusal; return its first issue.

    ``expression``: each must be among the expressions of the issues.
    """
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    tree = load(response)
    issue: Tree = tree["issue"][0]
    assert issue["code"] == code, tree
    assert issue["severity"] in {"fatal", "error"}
    found = {path for each in tree["issue"] for path in each.get("expression", [])}
    assert set(expression) <= found, f"{expression} not in {found}"
    return issue


def zipped(tree: Tree) -> bytes:
    """Return a resource as gzipped JSON."""
    return gzip.compress(dump(tree), mtime=0)


def xml_of(text: bytes) -> etree._Element:
    """Parse XML, refusing entities; fails when it is not well formed."""
    return etree.fromstring(text, etree.XMLParser(resolve_entities=False, no_network=True))
