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
from mappings.nhsa.envelope import kind_in_name, required
from mappings.nhsa.fields import number_of, transaction
from mappings.nhsa.parse import MAX_BYTES
from mappings.nhsa.style import Style, style_of

_HERE = Path(__file__).parent
_DONE = "done-response"
"""The map of answers that say no more than whether it was done; refusals are such answers too."""


class NhsaFormat(MapFormat):
    """The national insurance interface (医保接口), both sides."""

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
            for kind in ("", *further.get(file.stem, ())):
                named = _of_kind(spot, kind) if kind else spot
                for each in chosen:
                    named = overlay.apply(named, each)
                made.append(schema.build(named, self.tables))
        return tuple(made)


def _of_kind(spot: Spot, kind: str) -> Spot:
    """Return a read map file as that of another transaction, which the same rules serve."""
    top: Any = spot.value
    own = str(top["kind"].value)
    name = str(top["map"].value).replace(own, kind, 1)
    changed = {"kind": Spot(kind, top["kind"].at), "map": Spot(name, top["map"].at)}
    return Spot({**top, **changed}, spot.at, keys=spot.keys)


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
