"""What gateways get in their headers, and signatures in the envelope."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from mappings.engine.model import Message
from mappings.nhsa import codec
from mappings.nhsa.signing import HmacSha1Gateway, HmacSm3Gateway, sign

BODY = b'{"infno":"1101"}'


def test_signs_the_sorted_pairs_with_hmac_sha1() -> None:
    headers = HmacSha1Gateway("key", b"secret").headers(
        BODY, 1767229200000, {"name": "1101", "version": "1.0.0"}
    )
    text = "_api_access_key=key&_api_name=1101&_api_timestamp=1767229200000&_api_version=1.0.0"

    expected = base64.b64encode(hmac.digest(b"secret", text.encode(), hashlib.sha1)).decode()
    assert headers["_api_signature"] == expected
    assert headers["_api_timestamp"] == "1767229200000"


def test_signs_timestamp_and_body_with_hmac_sm3() -> None:
    gateway = HmacSm3Gateway("key", b"secret")
    signature = gateway.headers(BODY, 1767229200000, {})["x-ca-signature"]
    time, digest = signature.split(":")

    assert time == "1767229200000"
    assert (len(digest), digest) == (64, digest.upper())
    assert gateway.headers(BODY, 1767229200000, {})["x-ca-signature"] == signature
    assert gateway.headers(BODY + b" ", 1767229200000, {})["x-ca-signature"] != signature
    assert HmacSm3Gateway("key", b"other").headers(BODY, 1767229200000, {})["x-ca-signature"] != signature


class Reversing:
    """A signer for the test: the signature is the body backwards."""

    signtype = "SM2"

    def sign(self, body: bytes) -> str:
        return body.decode()[::-1]

    def verify(self, body: bytes, cainfo: str) -> bool:
        return self.sign(body) == cainfo


def test_a_signer_puts_its_signature_into_the_envelope() -> None:
    message = Message("2208", {"data": {"setl_id": "1"}}, direction="request")
    sign(message, b"body", Reversing())
    written = json.loads(codec.render(message, None, {}))

    assert (written["cainfo"], written["signtype"]) == ("ydob", "SM2")
    assert Reversing().verify(b"body", written["cainfo"])
    assert not Reversing().verify(b"body!", written["cainfo"])
