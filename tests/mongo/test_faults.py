"""MongoDB fails: nothing that was acknowledged is lost, nothing is there twice, service goes on by itself.

While it lasts the answer is 503 with Retry-After. Steps down are injected by the engine's failCommand:
https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests import engines
from tests.http.samples import patient, tagged, unique
from tests.http.server import Server, bundle, entry, load, refused, served
from tests.mongo.engine import StandIn
from tests.mongo.proxy import Proxy

NOT_PRIMARY = 10107
STEPPING_DOWN = 11602
"""NotWritablePrimary, and InterruptedDueToReplStateChange."""


@dataclass
class World:
    """A server, the wire from it to MongoDB, and MongoDB."""

    server: Server
    wire: Proxy
    stand_in: StandIn

    @contextmanager
    def failing(self, mode: str | dict[str, int], **how: Any) -> Iterator[None]:
        """Have commands fail as ``how`` says while the block runs."""
        with MongoClient[dict[str, Any]](self.stand_in.address()) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": how})
            try:
                yield
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    stand_in = StandIn(folder / "engine", test_commands=True)
    with ExitStack() as stack:
        stack.callback(stand_in.kill)
        stand_in.start()
        wire = stack.enter_context(Proxy(stand_in.port))
        # A real replica set tells of a new primary at once; the stand-in has to be asked.
        address = f"{stand_in.address('faults', wire.port)}&heartbeatFrequencyMS=500"
        stack.enter_context(engines.using(engines.MONGODB))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # Five seconds in service: for tests, too long to wait for each refusal.
        patch.setattr("fhir_server.store.mongo.client._SELECTION_MS", 1000)
        patch.setattr("fhir_server.store.mongo.client._HEARTBEAT_MS", 500)
        patch.setattr("fhir_server.audit.mongodb.place._SELECTION_SECONDS", 1)
        server = stack.enter_context(served(folder / "data", store=address))
        yield World(server, wire, stand_in)


def told(server: Server, *tags: str) -> list[str]:
    """Return the ids of what is tagged so, when the server answers again: it must do so by itself."""
    query = f"Patient?_count=100&{','.join(map(tagged, tags)).replace(',identifier=', ',')}"
    until = time.monotonic() + 20
    while (answer := server.get(query)).status_code == 503:
        assert time.monotonic() < until, "the server does not recover"
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return [each["resource"]["id"] for each in load(answer).get("entry", [])]


def is_unavailable(answer: httpx.Response) -> bool:
    """Tell whether the answer says that it is not the client's fault, and when to come back."""
    refused(answer, 503, "transient")
    return int(answer.headers["retry-after"]) > 0


def test_while_the_wire_is_cut_requests_are_told_when_to_come_back(world: World) -> None:
    server, tag = world.server, unique()
    id_ = server.create(patient())["id"]
    with world.wire.being_cut():
        calls = [
            ("GET", f"Patient/{id_}", None, {}),
            ("GET", "Patient?gender=female", None, {}),
            ("POST", "Patient", patient(tag), {}),
            ("PUT", f"Patient/{id_}", {**patient(tag), "id": id_}, {}),
        ]
        assert all(map(is_unavailable, server.together(calls)))
        assert server.request("GET", "http://localhost:8080/health/ready").status_code == 503
        assert server.request("GET", "http://localhost:8080/health/live").status_code == 200

    assert told(server, tag) == []
    assert server.get(f"Patient/{id_}").status_code == 200
    assert server.request("GET", "http://localhost:8080/health/ready").status_code == 200


@pytest.mark.parametrize("command", ["commitTransaction", "insert"])
def test_a_write_whose_answer_is_lost_on_the_way_is_kept_once(world: World, command: str) -> None:
    server, tag = world.server, unique()
    world.wire.swallow(command)

    made = server.post("Patient", patient(tag))

    assert world.wire.has_swallowed
    assert made.status_code == 201, made.text
    [id_] = told(server, tag)
    assert load(made)["id"] == id_
    assert load(server.get(f"Patient/{id_}/_history"))["total"] == 1


@pytest.mark.parametrize("command", ["commitTransaction", "insert", "find"])
@pytest.mark.parametrize("code", [NOT_PRIMARY, STEPPING_DOWN])
def test_a_primary_that_steps_down_in_mid_transaction_costs_nothing_but_time(
    world: World, command: str, code: int
) -> None:
    server, tag = world.server, unique()
    entries = [entry("POST", "Patient", patient(tag)) for _ in range(5)]
    labels = {} if command == "commitTransaction" else {"errorLabels": ["TransientTransactionError"]}
    with world.failing({"times": 1}, failCommands=[command], errorCode=code, **labels):
        answer = server.post("", bundle("transaction", entries))

    assert answer.status_code == 200 or is_unavailable(answer)
    assert len(told(server, tag)) == (5 if answer.status_code == 200 else 0)


def test_no_primary_for_long_refuses_writes_and_stores_nothing(world: World) -> None:
    server, tag = world.server, unique()
    labels = ["TransientTransactionError"]
    with world.failing("alwaysOn", failCommands=["insert"], errorCode=NOT_PRIMARY, errorLabels=labels):
        assert is_unavailable(server.post("Patient", patient(tag)))

    assert told(server, tag) == []
    assert server.post("Patient", patient(tag)).status_code == 201
    assert len(told(server, tag)) == 1


def test_a_race_for_one_id_has_one_winner_and_no_error(world: World) -> None:
    server, id_ = world.server, unique()
    calls = [("PUT", f"Patient/{id_}", {**patient(), "id": id_}, {}) for _ in range(8)]

    answers = server.together(calls)

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    done = [answer for answer in answers if answer.status_code in {200, 201}]
    assert [answer.status_code for answer in done].count(201) == 1
    assert len({answer.headers["etag"] for answer in done}) == len(
        {load(answer)["meta"]["versionId"] for answer in done}
    )


def test_kill_minus_nine_under_load_loses_nothing_acknowledged_and_doubles_nothing(world: World) -> None:
    server, stand_in = world.server, world.stand_in
    wanted = {unique(): "" for _ in range(24)}
    fall = threading.Timer(0.2, stand_in.kill)
    refusals = 0
    until = time.monotonic() + 90
    while missing := [tag for tag, id_ in wanted.items() if not id_]:
        assert time.monotonic() < until, f"{len(missing)} were never stored"
        some = missing[:8]
        calls = [("POST", "Patient", patient(tag), {"if_none_exist": tagged(tag)}) for tag in some]
        for tag, answer in zip(some, server.together(calls), strict=True):
            if answer.status_code in {200, 201}:
                wanted[tag] = load(answer)["id"]
            else:
                refusals += is_unavailable(answer)
        if fall.ident is None:
            fall.start()
        elif refusals and not stand_in.is_running:
            stand_in.start()

    assert refusals, "it was killed before it was asked"
    assert sorted(told(server, *wanted)) == sorted(wanted.values()), "lost, or there twice"
