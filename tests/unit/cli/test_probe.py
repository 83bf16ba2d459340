"""``fhir-server probe``: 0 from a server that is ready, 1 and a sentence from any other, or from none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from tests.unit.cli.house import House


class Answering(BaseHTTPRequestHandler):
    statuses: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        self.send_response(self.statuses[self.path])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@contextmanager
def server(statuses: dict[str, int]) -> Iterator[str]:
    """Serve these statuses and yield the port."""
    with HTTPServer(("127.0.0.1", 0), type("Own", (Answering,), {"statuses": statuses})) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield str(made.server_port)
        finally:
            made.shutdown()
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_ready_server_is_ready(house: House, host: str) -> None:
    with server({"/health/ready": 200}) as port:
        ended = house.run("probe", "--host", host, "--port", port)

    assert (ended.code, ended.out) == (0, "ready\n")


def test_a_server_that_is_not_ready_is_live_all_the_same(house: House) -> None:
    with server({"/health/ready": 503, "/health/live": 200}) as port:
        ready = house.run("probe", "--port", port)
        live = house.run("probe", "--port", port, "--live")

    assert ready.code == 1
    assert ready.err.startswith("fhir-server: The server is not ready: /health/ready answered 503")
    assert (live.code, live.out) == (0, "live\n")


def test_the_port_is_that_of_the_settings(house: House) -> None:
    with server({"/health/ready": 200}) as port:
        house.monkeypatch.setenv("FHIR_PORT", port)

        assert house.run("probe").code == 0


def test_where_nobody_listens_is_a_sentence_and_exit_code_1(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    ended = house.run("probe", "--port", str(port))

    assert ended.code == 1
    assert ended.err.startswith("fhir-server: No server answers at 127.0.0.1")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n"])
def test_who_does_not_speak_http_is_no_ready_server(house: House, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        ended = house.run("probe", "--port", str(listening.getsockname()[1]))
        thread.join()

    assert ended.code == 1
    assert "No server answers" in ended.err


def test_a_server_that_hangs_is_not_waited_for_longer_than_told(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = house.run("probe", "--port", str(listening.getsockname()[1]), "--seconds", "0.2")

    assert ended.code == 1
