"""The interface as a Format: messages, files, maps, regional profiles, and the rules of its amounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from mappings.engine import overlay, schema
from mappings.engine.format import MapFormat
from mappings.engine.model import Issue, Map, Message, Refused
from mappings.engine.yamltree import Spot, read
from mappings.nhsa import codec, files, invariants
from mappings.nhsa.codes import tables
from mappings.nhsa.envelope import PASSED_ON, REQUEST_MEMBERS, kind_in_name, required
from mappings.nhsa.fields import number_of, transaction
from mappings.nhsa.parse import MAX_BYTES
from mappings.nhsa.style import Style, style_of

_HERE = Path(__file__).parent
_DONE = "done-response"
"""The map of answers that say no more than whether it was done; refusals are such answers too."""


class NhsaFormat(MapFormat):
    """The national insurance interface (医保接口), both sides."""

    options = frozenset({"kind", "block", "ver", "style", *REQUEST_MEMBERS, *PASSED_ON})

    def __init__(self) -> None:
        super().__init__("nhsa", _HERE / "maps", tables(), _HERE / "profiles")

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield the messages of a file; see ``codec.split`` and ``files.split_file`` for the options."""
        raw = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
        kind = options.get("kind") or kind_in_name(options.get("where", ""), tabular=True)
        if kind and not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            yield from files.split_file(raw, kind, options)
        else:
            yield from codec.split(raw, options)

    def join(self, messages: Sequence[Message], options: Mapping[str, str]) -> bytes:
        """Write messages: one as JSON, several as a line of JSON each, rows as the file they belong to.

        Options: ``style`` a region's name (``styles``), and envelope members for messages that lack them.
        """
        if messages and not messages[0].direction:
            return files.join_files(messages)
        known = styles()
        name = options.get("style", "")
        if name and name not in known:
            sentence = f"There is no style '{name}' (styles: {', '.join(sorted(known))})."
            raise Refused(Issue("fatal", "not-found", "style", sentence))
        style, members = known.get(name, (None, {}))
        written = [codec.render(message, style, {**members, **options}) for message in messages]
        return written[0] if len(written) == 1 else b"".join(line + b"\n" for line in written)

    def media_type(self, messages: Sequence[Message] = (), options: Mapping[str, str] | None = None) -> str:  # noqa: ARG002 - they change nothing here
        """Return JSON for one message, a line of JSON each for several, else the table's own."""
        if messages and not messages[0].direction:
            return "text/tab-separated-values" if messages[0].kind[0].isdigit() else "text/csv"
        return "application/x-ndjson" if len(messages) > 1 else "application/json"

    def map_for(self, message: Message, overlays: Sequence[str] = ()) -> Map | None:
        """Return the map for a message; answers without content go to one map, whatever they answer."""
        known = self._index(tuple(overlays))
        if message.direction == "response" and not message.tree:
            return known["", "response"]
        kind = message.kind if (message.kind, message.direction) in known else number_of(message.kind)
        return known.get((kind or "", message.direction))

    def fields(self, map_: Map) -> Sequence[str] | None:
        """List the fields that the interface's field table has for a map's transaction."""
        described = transaction(map_.kind)
        if described is None:
            return None
        return [
            f"{block.dotted}.{name}" if block.path else name
            for block in described.side(map_.direction)
            for name, field in block.fields.items()
            if field.type != "block"
        ]

    def needed(self, map_: Map) -> Collection[str]:
        """Return the fields that the field table requires, and the envelope's."""
        described = transaction(map_.kind)
        own = {
            f"{block.dotted}.{name}" if block.path else name
            for block in (described.side(map_.direction) if described is not None else ())
            for name, field in block.fields.items()
            if field.required
        }
        return own | {f"$parameters.{name}" for name in ("infno", *required(map_.direction))}

    def check(self, message: Message) -> Iterable[Issue]:
        """Return the sums of a message that do not hold."""
        return invariants.check(message)

    @lru_cache(maxsize=16)  # noqa: B019 - a format lives as long as the program
    def _index(self, overlays: tuple[str, ...]) -> Mapping[tuple[str, str], Map]:
        found = {(map_.kind, map_.direction): map_ for map_ in self.maps(overlays)}
        done = next(map_ for map_ in found.values() if Path(map_.file).stem == _DONE)
        return {**found, ("", "response"): done}

    def _load(self, overlays: tuple[str, ...]) -> Sequence[Map]:
        known = self.overlays()
        unknown = [name for name in overlays if name not in known]
        if unknown:
            sentence = f"There is no profile '{unknown[0]}' (profiles: {', '.join(known) or 'none'})."
            raise Refused(Issue("fatal", "not-found", self.name, sentence))
        chosen = [known[name] for name in overlays]
        further = read((_HERE / "kinds.yaml").read_text("utf-8"), "kinds.yaml").texts
        made: list[Map] = []
        for file in sorted(self.folder.glob("*.yaml")):
            spot = read(file.read_text("utf-8"), str(file))
            own: Any = spot.value
            for kind in (str(own["kind"].value), *further.get(file.stem, ())):
                named = _of_kind(spot, kind)
                for each in chosen:
                    named = overlay.apply(named, each)
                made.append(schema.build(named, self.tables))
        return tuple(made)


def _of_kind(spot: Spot, kind: str) -> Spot:
    """Return a read map file as that of one of the transactions that the same rules serve.

    In it ``{kind}`` stands for the transaction, ``{use}`` for what a Claim of it is for: constants that tell
    a trial settlement from a settlement, and one cancellation from another, on the way back.
    """
    top: Any = spot.value
    own = str(top["kind"].value)
    uses = tables()["claim-use"]
    use = uses.to.get(uses.known(kind) or "", "")
    name = str(top["map"].value).replace(own, kind, 1)
    filled = _filled(spot, {"{kind}": kind, "{use}": use})
    changed = {"kind": Spot(kind, top["kind"].at), "map": Spot(name, top["map"].at)}
    value: Any = filled.value
    return Spot({**value, **changed}, spot.at, keys=spot.keys)


def _filled(spot: Spot, words: Mapping[str, str]) -> Spot:
    """Return a read file with placeholders filled in; everything keeps its place for reports."""
    if isinstance(spot.value, dict):
        inner = {key: _filled(each, words) for key, each in spot.value.items()}
        return Spot(inner, spot.at, spot.plain, spot.keys)
    if isinstance(spot.value, list):
        return Spot([_filled(each, words) for each in spot.value], spot.at, spot.plain, spot.keys)
    return Spot(words.get(spot.value, spot.value), spot.at, spot.plain, spot.keys)


@cache
def styles() -> Mapping[str, tuple[Style, Mapping[str, str]]]:
    """Return how regions write: their Style and the envelope members that they all send, by region."""
    data = read((_HERE / "styles.yaml").read_text("utf-8"), "styles.yaml").texts
    return {
        name: (style_of(entry.get("style", {})), entry.get("envelope", {})) for name, entry in data.items()
    }


@cache
def make(name: str = "nhsa") -> NhsaFormat:  # noqa: ARG001 - the registry asks by name, and there is one
    """Return the format."""
    return NhsaFormat()
