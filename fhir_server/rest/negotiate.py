"""Which format a body has and which format the client wants: Content-Type, Accept, ``_format``, ``_pretty``.

https://hl7.org/fhir/R4/http.html#mime-type and https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from fhir_server.faults import Fault, Kind


class Format(Enum):
    """A format of resources on the wire."""

    JSON = "application/fhir+json"
    XML = "application/fhir+xml"


class Content(Enum):
    """What a request's body is, by its Content-Type."""

    JSON = "json"
    XML = "xml"
    JSON_PATCH = "json-patch"
    FORM = "form"


_FORMATS = {
    "application/fhir+json": Format.JSON,
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "application/json+fhir": Format.JSON,
    "application/fhir+xml": Format.XML,
    "application/xml": Format.XML,
    "text/xml": Format.XML,
    "application/xml+fhir": Format.XML,
}
_WILD = {"*/*": Format.JSON, "application/*": Format.JSON, "text/*": Format.JSON}
_SHORT = {"json": Format.JSON, "xml": Format.XML}
_CONTENTS = {
    **{name: Content.JSON if format_ is Format.JSON else Content.XML for name, format_ in _FORMATS.items()},
    "application/json-patch+json": Content.JSON_PATCH,
    "application/x-www-form-urlencoded": Content.FORM,
}
_ACCEPT_PATCH = "application/json-patch+json, application/fhir+json, application/fhir+xml"
_FHIR_VERSIONS = frozenset({"4.0", "4.0.1"})
_UTF_8 = frozenset({"utf-8", "utf8"})


class MediaRange(NamedTuple):
    """One entry of an Accept header, or a Content-Type: lower-case name and parameters (``q`` among them)."""

    name: str
    parameters: dict[str, str]

    @property
    def weight(self) -> float:
        """The q value, 0 to 1; 1 when absent, 0 when it cannot be read."""
        text = self.parameters.get("q", "1")
        try:
            weight = float(text)
        except ValueError:
            return 0.0
        return weight if 0.0 <= weight <= 1.0 else 0.0

    @property
    def served(self) -> bool:
        """True unless a parameter asks for a charset or a FHIR version that this server does not speak."""
        charset = self.parameters.get("charset", "utf-8").lower()
        return charset in _UTF_8 and self.parameters.get("fhirversion", "4.0") in _FHIR_VERSIONS


@lru_cache(maxsize=128)
def accepted(accept: bytes) -> Format:
    """Choose the format that an Accept header likes best; an absent or empty header gets JSON.

    Among equal weights the more specific range wins, then JSON before XML, so ``*/*`` is JSON.
    Fault NOT_ACCEPTABLE when nothing it accepts is served.
    """
    wishes = ranges(accept)
    if not wishes:
        return Format.JSON
    weights = {format_: _weight(wishes, format_) for format_ in Format}
    best = max(weights.values())
    if best[0] <= 0:
        raise _not_acceptable()
    return next(format_ for format_, weight in weights.items() if weight == best)


@lru_cache(maxsize=128)
def ranges(accept: bytes) -> tuple[MediaRange, ...]:
    """Return the entries of an Accept header in order; none for an absent or empty one."""
    return tuple(_media_range(text) for text in accept.decode("latin-1").split(",") if text.strip())


def format_named(name: str) -> Format:
    """Return the format that a ``_format`` value names: ``json``, ``xml`` or a MIME type.

    https://hl7.org/fhir/R4/http.html#parameters. Fault NOT_ACCEPTABLE for any other.
    """
    # A "+" that the client forgot to encode arrives as a space.
    media = _media_range(name.strip().replace("fhir ", "fhir+"))
    found = _SHORT.get(media.name) or _FORMATS.get(media.name) or _WILD.get(media.name)
    if found is None or not media.served:
        raise _not_acceptable()
    return found


@lru_cache(maxsize=128)
def content_of(content_type: bytes) -> Content:
    """Say what a body with this Content-Type is. Fault UNSUPPORTED_MEDIA for what the server cannot read."""
    media = _media_range(content_type.decode("latin-1"))
    content = _CONTENTS.get(media.name)
    if content is None:
        raise Fault(
            Kind.UNSUPPORTED_MEDIA,
            "No supported Content-Type. Send application/fhir+json or application/fhir+xml;"
            "for a JSON Patch application/json-patch+json, for _search application/x-www-form-urlencoded.",
            headers=(("Accept-Patch", _ACCEPT_PATCH),),
        )
    if not media.served:
        raise Fault(Kind.UNSUPPORTED_MEDIA, "Bodies are read in charset UTF-8 and fhirVersion 4.0 only.")
    return content


def is_true(text: str) -> bool:
    """Read ``_pretty``: ``true``, or the bare name. Fault BAD_PARAMETER for anything but true and false."""
    if text in {"true", ""}:
        return True
    if text == "false":
        return False
    raise Fault(Kind.BAD_PARAMETER, "_pretty is true or false.")


@lru_cache(maxsize=128)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """Tell whether an Accept-Encoding header allows gzip.

    https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
    """
    weights = {m.name: m.weight for m in map(_media_range, accept_encoding.decode("latin-1").split(","))}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(wishes: tuple[MediaRange, ...], format_: Format) -> tuple[float, int]:
    """Return (weight, specificity) of a format: the most specific range that covers it decides."""
    exact = [m.weight for m in wishes if _FORMATS.get(m.name) is format_ and m.served]
    if exact:
        return max(exact), 2
    partial = [m.weight for m in wishes if m.name == "application/*" and m.served]
    if partial:
        return max(partial), 1
    return max((m.weight for m in wishes if m.name in _WILD and m.served), default=0.0), 0


def _media_range(text: str) -> MediaRange:
    name, *rest = text.split(";")
    parameters = {}
    for item in rest:
        key, _, value = item.partition("=")
        parameters[key.strip().lower()] = value.strip().strip('"')
    return MediaRange(name.strip().lower(), parameters)


def _not_acceptable() -> Fault:
    return Fault(
        Kind.NOT_ACCEPTABLE,
        "Ask for application/fhir+json or application/fhir+xml (charset utf-8, fhirVersion 4.0) in Accept, "
        "or for json or xml in _format.",
    )
