"""What a call of $convert asks for: its parameters, from the address or a Parameters body, and the content.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Content, Request, Tree
from fhir_server.operations.arguments import parts
from mappings import formats
from mappings.engine.format import MapFormat
from mappings.engine.model import Refused
from mappings.media import suffix

ARGUMENTS: Final[Mapping[str, str]] = {
    "format": "The local format's name; required.",
    "content": "The message or extract (base64Binary, Attachment or string): it becomes Bundles.",
    "resource": "A Bundle or resource to write in the format; may be repeated.",
    "url": "A read or search whose result is written in the format (Encounter/1); may be repeated.",
    "map": "The map to write by; required for writing.",
    "kind": "The message kind, where the content does not say it.",
    "name": "The content's file name, for reports and for formats that tell kinds by it.",
    "source": "The sending system's short name, in whose namespace local numbers live.",
    "zone": "Offset of times that name none; +08:00 unless given.",
    "organization": "The sending organization for Provenance: identifier system|value.",
    "profile": "A province's or vendor's deviations (overlay); may be repeated.",
    "option": "An option of the format: KEY=VALUE; may be repeated.",
    "rows": "Rows of a table in one Bundle.",
    "archive": "false: the original is not kept.",
    "store": "true: the Bundles are carried out with the caller's rights.",
    "report": "true: what is written comes with its issues in Parameters, not as bytes alone.",
}
"""The parameters and what they are; OpenAPI repeats it."""

REPEATED: Final = frozenset({"resource", "url", "profile", "option"})
IN_BODY_ONLY: Final = frozenset({"content", "resource"})
ENCODINGS: Final = frozenset(
    {"utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "utf-16", "utf-16-le", "utf-16-be"}
)
"""Of all codecs that Python has those of texts: some of the others are compressions."""
MOST_ROWS: Final = 1_000

_fits_source = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}").fullmatch
_fits_zone = re.compile(r"[+\-](?:0\d|1[0-4]):[0-5]\d").fullmatch
_fits_name = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}").fullmatch
_fits_organization = re.compile(r"[^|\s]{1,200}\|[^|\x00-\x1f\x7f]{1,200}").fullmatch
_PACKED: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call of $convert, checked. ``content``: what is read; None when resources are to be written.

    ``options``: of the format, ``where`` among them. ``rows``: None leaves the choice to the server.
    """

    format: MapFormat
    content: Content | None = None
    resources: tuple[Tree, ...] = ()
    urls: tuple[str, ...] = ()
    map: str = ""
    source: str = "local"
    zone: str = "+08:00"
    organization: tuple[str, str] | None = None
    overlays: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    archive: bool = True
    store: bool = False
    report: bool = False


def read_arguments(context: Context) -> Asked:
    """Check the parameters and return what is asked. Faults: BAD_REQUEST, BAD_PARAMETER, TOO_LARGE, …"""
    given = _Given(context.request)
    format_ = _format(given.one("format"))
    content = given.content()
    resources = given.resources()
    urls = given.all("url")
    if (content is None) == (not resources and not urls):
        raise Fault(
            Kind.BAD_REQUEST,
            "Send content, to make Bundles of it, or resources (resource, url), to write them: one of both.",
        )
    most = context.settings.max_convert_bytes
    if content is not None:
        if len(content.data) > most:
            raise Fault(Kind.TOO_LARGE, f"The content has more than {most} bytes; split it, or use fhir-map.")
        if content.data.startswith(_PACKED):
            raise Fault(
                Kind.UNSUPPORTED_MEDIA, "Send the content as it is; HTTP itself has Content-Encoding: gzip."
            )
    store = given.flag("store")
    if store and (content is None or given.one("source") is None):
        raise Fault(
            Kind.BAD_PARAMETER,
            "store goes with content, and with source: in whose namespace its numbers are to live.",
            *given.place("store"),
        )
    if content is None and given.one("map") is None:
        raise Fault(Kind.BAD_REQUEST, "Say by which map the resources are to be written: the parameter map.")
    return Asked(
        format=format_,
        content=content,
        resources=resources,
        urls=urls,
        map=given.one("map") or "",
        source=given.fit("source", _fits_source, "1 to 64 letters, digits, '.', '_' and '-'") or "local",
        zone=given.fit("zone", _fits_zone, "+HH:MM or -HH:MM") or "+08:00",
        organization=_organization(given),
        overlays=_overlays(format_, given),
        options=_options(format_, given, content),
        rows=_rows(given),
        archive=given.flag("archive", otherwise=True),
        store=store,
        report=given.flag("report"),
    )


class _Given:
    """The arguments as they came: name → values, and where each stood."""

    def __init__(self, request: Request) -> None:
        self.values: dict[str, list[str]] = {}
        self.places: dict[str, str] = {}
        self.raw = request.content
        self.trees: list[Tree] = []
        self.attached: list[Content] = []
        for name, value in request.parameters:
            self._text(name, value, "")
        body = request.body
        if body is not None and body.get("resourceType") != "Parameters":
            self.trees.append(body)
        for index, part in enumerate(parts(request)):
            self._part(part, f"Parameters.parameter[{index}]")

    def _part(self, part: Tree, place: str) -> None:
        name = part.get("name")
        if name == "resource":
            if not isinstance(part.get("resource"), dict):
                raise Fault(Kind.BAD_PARAMETER, "The parameter resource holds no resource.", place)
            self.trees.append(part["resource"])
            return
        values = [(key, value) for key, value in part.items() if key.startswith("value")]
        if not isinstance(name, str) or len(values) != 1:
            raise Fault(Kind.BAD_PARAMETER, "A parameter has a name and one value.", place)
        key, value = values[0]
        if name == "content":
            self.attached.append(_content(key, value, place))
            if key == "valueAttachment" and isinstance(value.get("title"), str):
                self._text("name", value["title"], place)
        elif isinstance(value, dict | list):
            raise Fault(Kind.BAD_PARAMETER, "This parameter takes a simple value.", place)
        else:
            self._text(name, str(value).lower() if isinstance(value, bool) else str(value), place)

    def _text(self, name: str, value: str, place: str) -> None:
        where = (place,) if place else ()
        if name not in ARGUMENTS or (not place and name in IN_BODY_ONLY):
            names = ", ".join(sorted(ARGUMENTS))
            raise Fault(
                Kind.UNSUPPORTED_PARAMETER,
                f"$convert has these parameters: {names}; content and resource in the body alone.",
                *where,
            )
        if name in self.values and name not in REPEATED:
            raise Fault(Kind.BAD_PARAMETER, f"Give {name} once.", *where)
        self.values.setdefault(name, []).append(value)
        self.places.setdefault(name, place)

    def one(self, name: str) -> str | None:
        return self.values.get(name, [None])[0]

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, ()))

    def place(self, name: str) -> tuple[str, ...]:
        return (self.places[name],) if self.places.get(name) else ()

    def fit(self, name: str, fits: Any, words: str) -> str | None:
        value = self.one(name)
        if value is not None and not fits(value):
            raise Fault(Kind.BAD_PARAMETER, f"{name} is {words}.", *self.place(name))
        return value

    def flag(self, name: str, *, otherwise: bool = False) -> bool:
        value = self.fit(name, frozenset({"true", "false"}).__contains__, "true or false")
        return otherwise if value is None else value == "true"

    def content(self) -> Content | None:
        found = [*self.attached, *([self.raw] if self.raw is not None else [])]
        if len(found) > 1:
            raise Fault(Kind.BAD_REQUEST, "Send one content.", "Parameters.parameter")
        return found[0] if found else None

    def resources(self) -> tuple[Tree, ...]:
        return tuple(self.trees)


def _content(key: str, value: Any, place: str) -> Content:
    """Return the content that a part of Parameters holds."""
    try:
        if key == "valueString" and isinstance(value, str):
            return Content("", value.encode())
        if key == "valueBase64Binary" and isinstance(value, str):
            return Content("", b64decode("".join(value.split()), validate=True))
        if key == "valueAttachment" and isinstance(value, dict) and isinstance(value.get("data"), str):
            media = value.get("contentType")
            data = b64decode("".join(value["data"].split()), validate=True)
            return Content(media if isinstance(media, str) else "", data)
    except (NotBase64, ValueError):
        raise Fault(Kind.BAD_PARAMETER, "The content is not base64.", place) from None
    raise Fault(
        Kind.BAD_PARAMETER,
        "content is a base64Binary, a string, or an Attachment with data; addresses are not fetched.",
        place,
    )


def known_formats() -> list[str]:
    """List the formats that the server reads and writes: those whose maps it brings itself."""
    return [name for name in formats.names() if name != formats.USER]


def _format(name: str | None) -> MapFormat:
    names = ", ".join(known_formats())
    if name is None:
        raise Fault(Kind.BAD_REQUEST, f"Say which format: the parameter format, one of {names}.")
    if name not in known_formats():
        raise Fault(Kind.BAD_PARAMETER, f"There is no such format; these are known: {names}.")
    return formats.get(name)


def _organization(given: _Given) -> tuple[str, str] | None:
    text = given.fit("organization", _fits_organization, "an identifier: system|value")
    if text is None:
        return None
    system, _, value = text.partition("|")
    return system, value


def _overlays(format_: MapFormat, given: _Given) -> tuple[str, ...]:
    wanted = given.all("profile")
    known = format_.overlays() if wanted else {}
    if set(wanted) - known.keys():
        names = ", ".join(sorted(known)) or "none"
        raise Fault(Kind.BAD_PARAMETER, f"This format has the profiles: {names}.", *given.place("profile"))
    return wanted


def _options(format_: MapFormat, given: _Given, content: Content | None) -> dict[str, str]:
    """Return the format's options; only those that open nothing may be given by a stranger."""
    found = dict(_pairs(format_, given))
    if (kind := given.one("kind")) is not None:
        found["kind"] = kind
    if found.get("encoding", "utf-8").lower() not in ENCODINGS:
        raise Fault(Kind.BAD_PARAMETER, f"encoding is one of {', '.join(sorted(ENCODINGS))}.")
    name = given.fit("name", _fits_name, "a file name of at most 200 characters, without folders")
    if name is not None and name.lower().endswith(".gz"):
        raise Fault(Kind.BAD_PARAMETER, "Send the content unpacked, and its name without .gz.")
    if content is not None:
        media, charset = _media(content.media)
        media = media or format_.media_type()
        found["where"] = name or f"content{suffix(media) or suffix(format_.media_type())}"
        if charset and "encoding" in format_.options and charset in ENCODINGS:
            found.setdefault("encoding", charset)
    return found


def _pairs(format_: MapFormat, given: _Given) -> Iterator[tuple[str, str]]:
    for text in given.all("option"):
        key, equals, value = text.partition("=")
        if not equals or key not in format_.options:
            names = ", ".join(sorted(format_.options))
            raise Fault(
                Kind.BAD_PARAMETER,
                f"option is KEY=VALUE; {format_.name} has the keys {names}.",
                *given.place("option"),
            )
        yield key, value


def _media(text: str) -> tuple[str, str]:
    """Return the media type and the charset of a Content-Type, in lower case."""
    media, *rest = text.lower().split(";")
    found = [
        value.strip().strip('"')
        for name, _, value in (each.partition("=") for each in rest)
        if name.strip() == "charset"
    ]
    return media.strip(), found[0] if found else ""


def _rows(given: _Given) -> int | None:
    text = given.one("rows")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_ROWS):
        raise Fault(
            Kind.BAD_PARAMETER, f"rows is a whole number from 1 to {MOST_ROWS}.", *given.place("rows")
        )
    return int(text)


def check_overlays(asked: Asked) -> None:
    """Load the format's maps; a Fault when its overlays cannot be put over each other."""
    try:
        asked.format.maps(asked.overlays)
    except Refused as refused:
        raise Fault(
            Kind.BAD_PARAMETER, "These profiles do not go together.", "Parameters.parameter"
        ) from refused
