"""A Binary in the media type that it holds: sent as it is, taken as it is, never run by a browser.

https://hl7.org/fhir/R4/binary.html#rest
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Reply, Tree
from fhir_server.rest.bodies import Body, decode_body
from fhir_server.rest.negotiate import Content, MediaRange, accepted, content_of, ranges
from fhir_server.rest.respond import Header, Messages, fault_reply

if TYPE_CHECKING:
    from fhir_server.rest.routes import Target

PREFIX: Final = "/Binary/"
CONTEXT: Final = b"x-security-context"
_SAFE: Final = frozenset({"GET", "HEAD"})
_WRITES: Final = frozenset({"create", "update"})
_EXPLICIT: Final = frozenset({"application/fhir+json", "application/fhir+xml"})
_ANYTHING: Final = "application/octet-stream"
_MADE: Final = b'{"resourceType":"Binary",'

_is_read = re.compile(r"/Binary/[A-Za-z0-9\-.]{1,64}(?:/_history/\d{1,18})?/?").fullmatch
_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+\-]{1,127}"  # noqa: S105 a pattern of RFC 6838 section 4.2, no secret
_is_media_type = re.compile(
    rf"({_TOKEN}/{_TOKEN})((?: ?; ?{_TOKEN}=(?:{_TOKEN}|\"[ !#-\[\]-~]{{0,200}}\")){{0,20}})"
).fullmatch
_is_reference = re.compile(r"[!-~]{1,2000}").fullmatch
_is_passive = re.compile(
    r"image/(?:png|jpeg|gif|webp|avif|bmp|tiff|heic|jp2)|(?:audio|video)/[a-z0-9.+\-]+|text/plain|"
    r"application/(?:pdf|dicom)"
).fullmatch
"""What shows and does nothing else; everything else a browser saves instead of opening it: HTML, SVG, XML and
scripts would otherwise run in this server's origin."""

_GUARD: Final[Header] = (b"content-security-policy", b"default-src 'none'; sandbox")
_SAVED: Final[Header] = (b"content-disposition", b"attachment")


class Native(NamedTuple):
    """The content of a Binary and the header fields that go with it, Content-Type first."""

    content: bytes
    headers: tuple[Header, ...]


class _Binary(msgspec.Struct):
    """What of a stored Binary an answer needs."""

    class Reference(msgspec.Struct):
        """The reference that stands in for its rules."""

        reference: str = ""

    contentType: str = ""  # noqa: N815 the spec's word
    data: str = ""
    securityContext: Reference = msgspec.field(default_factory=Reference)  # noqa: N815 the same


_decode = msgspec.json.Decoder(_Binary).decode


def is_read(method: str, path: str) -> bool:
    """Tell whether a method on a path below the base is a read or vread of a Binary, HEAD included."""
    return method in _SAFE and _is_read(path) is not None


def is_made(interaction: str, reply: Reply) -> bool:
    """Tell whether an operation answers with a Binary: its content is what was asked for."""
    return interaction == "operation" and reply.body.startswith(_MADE)


def native(reply: Reply, accept: bytes) -> Native | Reply:
    """Return the content of the Binary that ``reply`` holds, if ``accept`` does not ask for FHIR instead.

    Otherwise the reply that is to be written in FHIR's formats: ``reply`` itself, or a 406 when Accept
    excludes both. FHIR's own two media types, named, are FHIR; the generic ones (``application/json``,
    ``text/xml``) ask for the content if that is what it is, and for FHIR if it is not; ``*/*`` or no Accept
    at all is the content.
    """
    stored = _decode(reply.body)
    media = _served_type(stored.contentType)
    wishes = ranges(accept)
    name = media.partition(";")[0].strip().lower()
    if wishes and not _prefers_content(wishes, name):
        return _as_resource(reply, accept)
    headers: list[Header] = [(b"content-type", media.encode()), _GUARD]
    if not _is_passive(name):
        headers.append(_SAVED)
    context = stored.securityContext.reference
    if _is_reference(context):
        headers.append((CONTEXT, context.encode()))
    return Native(base64.b64decode(stored.data), tuple(headers))


def native_messages(headers: list[Header], body: bytes, *, head: bool) -> Messages:
    """Return the two ASGI messages of a Binary's content; ``body``: as it is sent, zipped perhaps."""
    headers.append((b"content-length", b"%d" % len(body)))
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"" if head else body},
    )


def received(
    target: Target, method: str, fields: dict[bytes, bytes], raw: bytes, *, most: int, max_depth: int
) -> Body:
    """Return the Binary that a create or update sends: the resource, or one made of any other content.

    Content of FHIR's media types is content too, unless it is a Binary; what only claims to be of them is
    refused. ``most``: bytes of the largest body; content takes a third more as base64. Faults: as
    :func:`bodies.decode_body`, UNSUPPORTED_MEDIA without a Content-Type, TOO_LARGE, BAD_REQUEST for a context
    that is no reference.
    """
    content_type = fields.get(b"content-type", b"")
    resource = _resource(target.name, method, content_type, raw, max_depth)
    if resource is not None:
        if CONTEXT in fields:
            raise Fault(
                Kind.BAD_REQUEST,
                "X-Security-Context goes with content of other media types; a Binary has securityContext.",
                "Binary.securityContext",
            )
        return resource
    if len(raw) > most // 4 * 3:
        raise Fault(Kind.TOO_LARGE, f"The content of a Binary has at most {most // 4 * 3} bytes.")
    tree: Tree = {"resourceType": "Binary"}
    if target.id is not None:
        tree["id"] = target.id
    tree["contentType"] = _sent_type(content_type)
    if CONTEXT in fields:
        tree["securityContext"] = {"reference": _context(fields[CONTEXT])}
    tree["data"] = base64.b64encode(raw).decode()
    return Body(tree)


def is_write(target: Target) -> bool:
    """Tell whether an interaction brings a Binary."""
    return target.type == "Binary" and target.name in _WRITES


def _resource(name: str, method: str, content_type: bytes, raw: bytes, max_depth: int) -> Body | None:
    """Return the body when it is a Binary; None when it is content."""
    try:
        content = content_of(content_type)
    except Fault:
        content = None
    if content not in (Content.JSON, Content.XML) and raw:
        return None
    try:
        body = decode_body(name, method, content_type, raw, max_depth=max_depth)
    except Fault:
        if not raw or content_type.partition(b";")[0].strip().lower().decode("latin-1") in _EXPLICIT:
            raise
        return None
    return body if (body.tree or {}).get("resourceType") == "Binary" else None


def _as_resource(reply: Reply, accept: bytes) -> Reply:
    """Return the reply as it is when Accept allows one of FHIR's formats; else a 406."""
    try:
        accepted(accept)
    except Fault:
        return fault_reply(
            Fault(
                Kind.NOT_ACCEPTABLE,
                "This Binary holds another media type than Accept allows. Leave Accept out to get it as it "
                "is, or ask for application/fhir+json, which tells its contentType.",
            )
        )
    return reply


def _prefers_content(wishes: tuple[MediaRange, ...], media: str) -> bool:
    """Tell whether a Binary of type ``media`` is to be sent as it is."""
    mine = _weight(wishes, media)
    fhir = max((wish.weight for wish in wishes if wish.name in _EXPLICIT and wish.served), default=0.0)
    return mine > fhir


def _weight(wishes: tuple[MediaRange, ...], media: str) -> float:
    """Return the weight of a media type: the most specific range that covers it decides (RFC 9110 12.5.1)."""
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        found = [wish.weight for wish in wishes if wish.name == name]
        if found:
            return max(found)
    return 0.0


def _served_type(stored: str) -> str:
    """Return the Content-Type of an answer; what is stored may be no media type, or a forged header."""
    return stored if _is_media_type(stored) else _ANYTHING


def _sent_type(content_type: bytes) -> str:
    text = " ".join(content_type.decode("latin-1").split())
    if not _is_media_type(text):
        raise Fault(
            Kind.UNSUPPORTED_MEDIA,
            "Say in Content-Type which media type the content has, such as application/pdf.",
        )
    return text


def _context(value: bytes) -> str:
    text = value.decode("latin-1").strip()
    if not _is_reference(text):
        raise Fault(
            Kind.BAD_REQUEST,
            "X-Security-Context is one reference, such as Patient/42.",
            "Binary.securityContext.reference",
        )
    return text
