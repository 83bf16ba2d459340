"""What formats have in common: a folder of maps, overlays beside them, and finding the map for a message."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from mappings.engine import overlay, schema
from mappings.engine.codes import Tables
from mappings.engine.model import Issue, Map, Message, Refused
from mappings.engine.yamltree import Spot
from mappings.media import UNKNOWN


class MapFormat:
    """A format whose maps are the YAML files of a folder (and of folders in it).

    ``overlays``: folder of overlay files, which are named by what they call themselves. Subclasses split and
    join; they may say which fields a map's source has, and check messages by rules of the format.
    """

    options: frozenset[str] = frozenset({"kind"})
    """Options of ``split`` and ``join`` that a stranger may give: none of them opens a file or a database."""

    def __init__(
        self, name: str, folder: Path, tables: Tables | None = None, overlays: Path | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.tables = tables
        self.overlay_folder = overlays
        # A map is found by identity by what was compiled of it, so each choice of overlays is read once.
        self._read = lru_cache(maxsize=16)(self._load)

    def maps(self, overlays: Sequence[str] = ()) -> Sequence[Map]:
        """List every map, overlays applied in the order given; Refused when a file does not hold."""
        return self._read(tuple(overlays))

    def map_for(self, message: Message, overlays: Sequence[str] = ()) -> Map | None:
        """Return the map for a message's kind and direction; None when there is none."""
        return self._index(tuple(overlays)).get((message.kind, message.direction))

    def overlays(self) -> Mapping[str, Spot]:
        """Return the overlays that there are, by name."""
        if self.overlay_folder is None:
            return {}
        found = [overlay.load(file) for file in sorted(self.overlay_folder.glob("*.yaml"))]
        return {str(spot.value["overlay"].value): spot for spot in found if isinstance(spot.value, dict)}

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield the messages of a file; see ``model.Format.split``."""
        raise NotImplementedError

    def join(self, messages: Sequence[Message], options: Mapping[str, str]) -> bytes:
        """Write messages of one kind as one file; see ``model.Format.join``."""
        raise NotImplementedError

    def media_type(self, messages: Sequence[Message] = (), options: Mapping[str, str] | None = None) -> str:  # noqa: ARG002 - for subclasses that write several
        """Return the media type of what ``join`` writes of the messages; of none, that of what is read."""
        return UNKNOWN

    def ordered(self, files: Sequence[Path]) -> Sequence[Path]:
        """Return files in the order in which they are to be loaded: what others refer to comes first."""
        return sorted(files)

    def fields(self, map_: Map) -> Sequence[str] | None:  # noqa: ARG002 - for subclasses that know
        """List the source paths that the format's definition knows for a map; None when it has none."""
        return None

    def needed(self, map_: Map) -> Collection[str]:  # noqa: ARG002 - for subclasses that know
        """Return the source fields that the format's definition requires."""
        return ()

    def check(self, message: Message) -> Iterable[Issue]:  # noqa: ARG002 - for subclasses that have rules
        """Return what breaks a rule of the format (wrong sums); the message is converted anyway."""
        return ()

    def _index(self, overlays: tuple[str, ...]) -> Mapping[tuple[str, str], Map]:
        return {(map_.kind, map_.direction): map_ for map_ in self.maps(overlays)}

    def _load(self, overlays: tuple[str, ...]) -> Sequence[Map]:
        known = self.overlays()
        unknown = [name for name in overlays if name not in known]
        if unknown:
            having = ", ".join(known) or "none"
            raise Refused(
                Issue(
                    "fatal",
                    "not-found",
                    self.name,
                    f"There is no overlay '{unknown[0]}' (there are: {having}).",
                )
            )
        chosen = [known[name] for name in overlays]
        files = [
            file
            for file in sorted(self.folder.glob("**/*.yaml"))
            if self.overlay_folder is None or self.overlay_folder not in file.parents
        ]
        return tuple(schema.load(file, self.tables, chosen) for file in files)
