"""A client that goes away: its search is cancelled, its write is carried out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.interactions.request import CLIENT_GONE, Reply, Request
from fhir_server.rest import asgi, hangup
from fhir_server.rest.deadline import Deadlines
from fhir_server.rest.limits import Disconnected

FORM = "application/x-www-form-urlencoded"


class Line:
    """A client's end: what it sent, and when it hung up."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.hung_up = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await self.hung_up.wait()
        return {"type": "http.disconnect"}


async def asked(client: Any, method: str, path: str, *, hang_up: bool, body: bytes = b"") -> tuple[str, Any]:
    """Send a request that takes a while; return how its interaction ended, and what was sent."""
    ended: list[str] = []
    sent: list[Any] = []
    line = Line({"type": "http.request", "body": body, "more_body": False})

    async def slow(_request: Request) -> Reply:
        try:
            asyncio.get_running_loop().call_later(0.01, line.hung_up.set if hang_up else lambda: None)
            await asyncio.sleep(0.2)
        except asyncio.CancelledError as error:
            ended.append(str(error.args[0]))
            raise
        ended.append("done")
        return Reply(200, b'{"resourceType":"Basic","id":"1"}')

    async def send(message: Any) -> None:
        sent.append(message)

    client.answer = slow
    kind = FORM if "_search" in path else "application/fhir+json"
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", kind.encode())],
    }
    await client.app(scope, line.receive, send)
    return ended[0], sent


@pytest.fixture(autouse=True)
def _look_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "LOOK_AFTER", 0.005)


SEARCHES = [
    ("GET", "/fhir/Patient"),
    ("POST", "/fhir/Patient/_search"),
    ("GET", "/fhir/Patient/1/Observation"),
    ("GET", "/fhir/_history"),
    ("GET", "/fhir/Patient/1/$everything"),
]
WRITES = [
    ("POST", "/fhir/Basic"),
    ("PUT", "/fhir/Basic/1"),
    ("POST", "/fhir"),
    ("POST", "/fhir/$reindex"),
    ("DELETE", "/fhir/Basic/1"),
]


@pytest.mark.parametrize(("method", "path"), SEARCHES)
async def test_a_search_ends_when_its_client_hangs_up(client: Any, method: str, path: str) -> None:
    ended, sent = await asked(client, method, path, hang_up=True)

    assert (ended, sent) == (CLIENT_GONE, [])


@pytest.mark.parametrize(("method", "path"), SEARCHES)
async def test_a_search_whose_client_waits_is_answered(client: Any, method: str, path: str) -> None:
    ended, sent = await asked(client, method, path, hang_up=False)

    assert ended == "done"
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_write_is_carried_out_though_nobody_waits(client: Any, method: str, path: str) -> None:
    ended, _ = await asked(client, method, path, hang_up=True, body=b'{"resourceType":"Basic","id":"1"}')

    assert ended == "done"


async def test_a_quick_answer_is_never_watched(client_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "LOOK_AFTER", 30.0)
    ended, sent = await asked(client_with(), "GET", "/fhir/Patient", hang_up=True)

    assert ended == "done"
    assert sent[0]["status"] == 200


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    line = Line()

    async def work() -> None:
        with hangup.Watched(Deadlines(0.005), line.receive):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    both = asyncio.create_task(work())
    await asyncio.sleep(0.02)
    line.hung_up.set()
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both


async def test_the_client_that_hung_up_raises_disconnected_and_leaves_no_task_behind() -> None:
    line = Line()
    line.hung_up.set()
    before = asyncio.all_tasks()

    with pytest.raises(Disconnected), hangup.Watched(Deadlines(0.005), line.receive):
        await asyncio.sleep(60)
    await asyncio.sleep(0)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert asyncio.all_tasks() == before


async def test_one_that_ended_is_not_watched_while_another_goes_on() -> None:
    lookouts, quick, slow = Deadlines(0.02), Line(), Line()
    for line in (quick, slow):
        line.hung_up.set()

    async def work(line: Line, seconds: float) -> str:
        with hangup.Watched(lookouts, line.receive):
            await asyncio.sleep(seconds)
        return "done"

    ended = await asyncio.gather(work(quick, 0), work(slow, 60), return_exceptions=True)

    assert ended[0] == "done"
    assert isinstance(ended[1], Disconnected)
