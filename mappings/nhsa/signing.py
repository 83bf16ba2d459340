"""What gateways want in their headers, and the hook for signatures inside the envelope (cainfo, signtype).

The envelope's own signature needs a region's certificate, often its USB key or library: that is a
``Signer``, which the deployment brings. The gateway schemes below are keyed digests: they need a secret only.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from mappings.engine.model import Message


class Signer(Protocol):
    """Signs and verifies the business data of a message, as a region prescribes."""

    signtype: str

    def sign(self, body: bytes) -> str:
        """Return the signature (cainfo) of the business data's bytes."""

    def verify(self, body: bytes, cainfo: str) -> bool:
        """Say whether ``cainfo`` signs the business data's bytes."""


class Gateway(Protocol):
    """Makes the HTTP headers that a region's gateway asks for."""

    def headers(self, body: bytes, timestamp: int, api: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers for a request body sent at ``timestamp`` (milliseconds since 1970)."""


def sign(message: Message, body: bytes, signer: Signer) -> None:
    """Put a signature of ``body`` (the business data's bytes) into the message's envelope."""
    message.parameters["cainfo"] = signer.sign(body)
    message.parameters["signtype"] = signer.signtype


@dataclass(frozen=True, slots=True)
class HmacSha1Gateway:
    """Headers signed with HMAC-SHA1 over the sorted ``name=value`` pairs (as in Hunan)."""

    access_key: str
    secret: bytes

    def headers(self, body: bytes, timestamp: int, api: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - the scheme does not cover the body
        """Return ``_api_*`` headers; ``api`` has ``name`` and ``version``."""
        plain = {
            "_api_access_key": self.access_key,
            "_api_name": api["name"],
            "_api_timestamp": str(timestamp),
            "_api_version": api["version"],
        }
        text = "&".join(f"{name}={value}" for name, value in sorted(plain.items()))
        digest = hmac.new(self.secret, text.encode(), sha1).digest()
        return {**plain, "_api_signature": base64.b64encode(digest).decode()}


@dataclass(frozen=True, slots=True)
class HmacSm3Gateway:
    """Headers signed with HMAC-SM3 over timestamp and body (as in Zhejiang)."""

    access_key: str
    secret: bytes

    def headers(self, body: bytes, timestamp: int, api: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - the address alone names the transaction
        """Return ``x-ca-key`` and ``x-ca-signature`` = timestamp:HEX."""
        digest = HMAC(self.secret, hashes.SM3())
        digest.update(f"{timestamp}\n".encode() + body)
        return {
            "x-ca-key": self.access_key,
            "x-ca-signature": f"{timestamp}:{digest.finalize().hex().upper()}",
        }
