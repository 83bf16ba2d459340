"""The arguments of $convert as they come: name → values and where each stood; the content, the resources.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.faults import Fault, Kind
from fhir_server.interactions.request import Content, Request, Tree
from fhir_server.operations.arguments import parts

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


class Given:
    """The arguments as they came: name → values, and where each stood."""

    def __init__(self, request: Request) -> None:
        self.values: dict[str, list[str]] = {}
        self._places: dict[str, str] = {}
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
        self._places.setdefault(name, place)

    def one(self, name: str) -> str | None:
        """Return the value of an argument that is given once at most; None when it is not."""
        return self.values.get(name, [None])[0]

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of an argument that may be repeated."""
        return tuple(self.values.get(name, ()))

    def place(self, name: str) -> tuple[str, ...]:
        """Return where an argument stands in the body, for the expression of a Fault."""
        return (self._places[name],) if self._places.get(name) else ()

    def fit(self, name: str, fits: Callable[[str], object], words: str) -> str | None:
        """Return a value that must fit; Fault BAD_PARAMETER with ``words`` otherwise."""
        value = self.one(name)
        if value is not None and not fits(value):
            raise Fault(Kind.BAD_PARAMETER, f"{name} is {words}.", *self.place(name))
        return value

    def flag(self, name: str, *, otherwise: bool = False) -> bool:
        """Return a boolean."""
        value = self.fit(name, frozenset({"true", "false"}).__contains__, "true or false")
        return otherwise if value is None else value == "true"

    def content(self) -> Content | None:
        """Return the content, of the body itself or of a parameter; Fault when there are several."""
        found = [*self.attached, *([self.raw] if self.raw is not None else [])]
        if len(found) > 1:
            raise Fault(Kind.BAD_REQUEST, "Send one content.", "Parameters.parameter")
        return found[0] if found else None

    def resources(self) -> tuple[Tree, ...]:
        """Return the resources that were sent to be written."""
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
