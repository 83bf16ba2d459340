"""What one turn of the event loop writes goes out as one piece, in order, before the connection closes."""

from __future__ import annotations

import asyncio
from typing import Any

from fhir_server.rest.protocol import _OneWrite


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return name


async def test_head_and_body_are_sent_as_one_piece() -> None:
    wire = Wire()
    transport = _OneWrite(wire, asyncio.get_running_loop())

    transport.write(b"head ")
    transport.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)

    assert wire.sent == [b"head body"]


async def test_what_comes_in_a_later_turn_is_sent_by_itself() -> None:
    wire = Wire()
    transport = _OneWrite(wire, asyncio.get_running_loop())

    transport.write(b"one")
    await asyncio.sleep(0)
    transport.write(b"two")
    await asyncio.sleep(0)

    assert wire.sent == [b"one", b"two"]


async def test_closing_sends_what_was_written_first() -> None:
    wire = Wire()
    transport = _OneWrite(wire, asyncio.get_running_loop())

    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)

    assert wire.sent == [b"last words"]
    assert wire.closed


async def test_nothing_is_sent_on_a_closed_connection() -> None:
    wire = Wire()
    transport = _OneWrite(wire, asyncio.get_running_loop())

    transport.write(b"too late")
    wire.closed = True
    await asyncio.sleep(0)

    assert wire.sent == []


async def test_everything_else_is_the_transports_own() -> None:
    assert _OneWrite(Wire(), asyncio.get_running_loop()).get_extra_info("peername") == "peername"
