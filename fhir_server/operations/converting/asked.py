"""What a call of $convert asks for: its parameters, from the address or a Parameters body, and the content.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Content, Tree
from fhir_server.operations.converting.given import Given
from mappings import formats
from mappings.engine.format import MapFormat
from mappings.engine.model import Refused
from mappings.media import suffix

ENCODINGS: Final = frozenset(
    {"utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "utf-16", "utf-16-le", "utf-16-be"}
)
"""Of all codecs that Python has those of texts: some of the others are compressions."""
MOST_ROWS: Final = 1_000

_fits_source = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}").fullmatch
_fits_zone = re.compile(r"[+\-](?:0\d|1[0-4]):[0-5]\d").fullmatch
_fits_name = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}").fullmatch
_fits_organization = re.compile(r"[^|\s]{1,200}\|[^|\x00-\x1f\x7f]{1,200}").fullmatch
_fits_media = re.compile(
    r"[A-Za-z0-9!#$&^_.+\-]{1,127}/[A-Za-z0-9!#$&^_.+\-]{1,127}(?:; ?[\w\-]{1,40}=[\w.:+\-\"]{1,70}){0,5}",
    re.ASCII,
).fullmatch
_FORM: Final = "application/x-www-form-urlencoded"
"""What HTTP clients say of a body when they are told nothing."""
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
    given = Given(context.request)
    format_ = _format(given.one("format"))
    content = _cleaned(given.content(), format_)
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


def _cleaned(content: Content | None, format_: MapFormat) -> Content | None:
    """Return content with a media type that may be kept: what its sender's tool says of itself is none."""
    if content is None or (_fits_media(content.media) and not content.media.lower().startswith(_FORM)):
        return content
    return content._replace(media=format_.media_type())


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


def _organization(given: Given) -> tuple[str, str] | None:
    text = given.fit("organization", _fits_organization, "an identifier: system|value")
    if text is None:
        return None
    system, _, value = text.partition("|")
    return system, value


def _overlays(format_: MapFormat, given: Given) -> tuple[str, ...]:
    wanted = given.all("profile")
    known = format_.overlays() if wanted else {}
    if set(wanted) - known.keys():
        names = ", ".join(sorted(known)) or "none"
        raise Fault(Kind.BAD_PARAMETER, f"This format has the profiles: {names}.", *given.place("profile"))
    return wanted


def _options(format_: MapFormat, given: Given, content: Content | None) -> dict[str, str]:
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
        found["where"] = name or f"content{suffix(media) or suffix(format_.media_type())}"
        if charset and "encoding" in format_.options and charset in ENCODINGS:
            found.setdefault("encoding", charset)
    return found


def _pairs(format_: MapFormat, given: Given) -> Iterator[tuple[str, str]]:
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


def _rows(given: Given) -> int | None:
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
