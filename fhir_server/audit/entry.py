"""One entry of the audit log: the facts of one interaction, from which its AuditEvents are made.

An entry is written once and read for decades. So fields cannot be reordered or removed, new ones are added
at the end of a class with a default, and an entry that was written before them reads as if it had it.
"""

from __future__ import annotations

import msgspec

SUCCESS, MINOR, SERIOUS, MAJOR = 0, 4, 8, 12
"""Outcomes of an event. https://hl7.org/fhir/R4/valueset-audit-event-outcome.html"""


class Undecodable(Exception):
    """Bytes that are not an entry of the audit log."""


class Item(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A version of a resource that was accessed; ``version`` 0: none in particular."""

    type: str
    id: str
    version: int = 0


class Agent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who asked. ``user``, ``organization``: ``Type/id``; ``token``: its jti; "" for what there is not.

    ``purpose``: a code of v3-PurposeOfUse; ``address``: the client's network address; ``account``: the name
    that the person logs in with, told with security events alone.
    """

    client: str
    user: str = ""
    organization: str = ""
    roles: tuple[str, ...] = ()
    purpose: str = ""
    token: str = ""
    address: str = ""
    account: str = ""


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """What happened. ``at``: ms since the epoch; ``outcome``: one of the four above; ``status``: of HTTP.

    ``interaction``: a code of restful-interaction; ``items``: the resources that were read or written, none
    for a search, whose results are not recorded; ``patients``: ids of those whose records were touched;
    ``query``, ``parameters``: what was asked, as it was sent; ``meaning``: as it was understood; ``issue``,
    ``text``: why it was refused; ``reason``: what the decision rests on (agreements, consents), each a text.
    ``created``: an update or patch that made the resource. A security event has one of its codes for an
    ``interaction``, a ``target`` ("client ID", "account NAME" …) and ``details`` (name and value).
    ``consents``: of each of ``patients``, in order, references to the Consents that decided; () stands for
    none at all. ``policy``: what decided where no Consent did: one of "treatment", "permit", "deny" (the
    overarching policy), "own", "house", "internal" (consent was not asked); "": nothing was decided.
    """

    at: int
    interaction: str
    outcome: int
    status: int
    request: str
    agent: Agent
    type: str = ""
    items: tuple[Item, ...] = ()
    patients: tuple[str, ...] = ()
    query: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    operation: str = ""
    issue: str = ""
    text: str = ""
    reason: tuple[str, ...] = ()
    created: bool = False
    meaning: str = ""
    target: str = ""
    details: tuple[tuple[str, str], ...] = ()
    consents: tuple[tuple[str, ...], ...] = ()
    policy: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """Return the bytes of an entry as the log seals them."""
    return _encoder.encode(entry)


def decode(data: bytes) -> Entry:
    """Return the entry that :func:`encode` wrote; raises :class:`Undecodable`."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Undecodable from error
