"""Proofs of keys: what a store keeps in its table or collection ``meta`` to notice a key ring of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.envelope import Damaged, Envelope
from fhir_server.crypto.keys import KeyFault, KeyRing

PROOF: Final = "seal:"
"""A proof of a data key is kept by this and the key's number."""

_WORD: Final = b"fhir-server"


def founded(ring: KeyRing, blind: BlindIndex) -> dict[str, Any]:
    """Return what a new store notes: which suite and which index key it is made with."""
    return {"suite": ring.suite.name, "index": blind.text(_WORD.decode())}


def proof(envelope: Envelope) -> tuple[str, bytes]:
    """Return the name and the proof of the active data key."""
    return f"{PROOF}{envelope.active}", envelope.seal_plainly("meta", 0, 0, _WORD)


def verify(meta: Mapping[str, Any], ring: KeyRing, blind: BlindIndex, envelope: Envelope) -> None:
    """Compare the key ring with what was noted; raises :class:`KeyFault` with what to do."""
    if meta.get("suite") != ring.suite.name:
        raise KeyFault(
            f"The store was made with the {meta.get('suite')} suite, the key ring is for {ring.suite.name}:"
            " point to the store's own key ring."
        )
    if meta.get("index") != founded(ring, blind)["index"]:
        raise KeyFault("The key ring is not the one that the store was made with; point to its own key ring.")
    for key, sealed in meta.items():
        if key.startswith(PROOF):
            try:
                envelope.open("meta", 0, 0, sealed)
            except Damaged:
                raise KeyFault(
                    f"Data key {key.removeprefix(PROOF)} in the key ring is not the one that the store was"
                    " sealed with; restore the ring from its backup."
                ) from None
