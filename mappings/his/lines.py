"""Blocks of lines out of a file, plain, .gz or a member of a .zip, each line with its byte offset.

Splitting happens on bytes, before decoding: neither GB18030 nor UTF-8 has a line feed or a quote inside a
letter. UTF-16 does; it is turned into UTF-8 on the way, offsets staying those of the file.
"""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from mappings.his.places import Place
from mappings.his.rows import refused
from mappings.his.text import UTF_8, Encoding

BLOCK = 1 << 18
"""Bytes read at once: memory stays flat, and the cost of a call is spread over some thousand rows."""

LONGEST_LINE = 1 << 22
"""A line beyond 4 MiB is no row of a table: the file is not text, or its line ends are missing."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines without their line feeds, the byte offset at which each begins, and where the next one would."""

    lines: list[bytes]
    offsets: list[int]
    end: int


def members(place: Place) -> list[str | None]:
    """Return the tables in a file: the members of a .zip, else the file itself as one None."""
    if not place.name.lower().endswith(".zip"):
        return [None]
    with _archive(place) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return [name for name in names if not name.startswith("__MACOSX/")]


@contextmanager
def opened(place: Place, member: str | None = None) -> Iterator[BinaryIO]:
    """Open an extract's bytes, decompressed as its name says. Raises Refused when they cannot be read."""
    with ExitStack() as stack:
        if member is not None:
            archive = stack.enter_context(_archive(place))
            try:
                stream = cast("BinaryIO", stack.enter_context(archive.open(member)))
            except (KeyError, RuntimeError, NotImplementedError) as error:
                raise refused(place.name, f"The member {member} cannot be read; unpack it first.") from error
        else:
            stream = stack.enter_context(place.open())
            if place.name.lower().endswith(".gz"):
                stream = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=stream)))
        yield stream


@contextmanager
def _archive(place: Place) -> Iterator[zipfile.ZipFile]:
    with place.open() as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except zipfile.BadZipFile:
            raise refused(place.name, "This is no ZIP file, or it is damaged; send it again.") from None
        with archive:
            yield archive


def head(place: Place, member: str | None, name: str) -> bytes:
    """Return the first bytes of an extract, decompressed."""
    if member is None and not place.name.lower().endswith(".gz"):
        return place.head(BLOCK)
    with opened(place, member) as stream:
        return read(stream, BLOCK, name)


def read(stream: BinaryIO, size: int, name: str) -> bytes:
    """Read up to ``size`` bytes. Raises Refused when a compressed stream ends early or is damaged."""
    try:
        return stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, OSError):
        raise refused(
            name, "The file is cut off or damaged; the rows before this stand. Send it again."
        ) from None


def skip(stream: BinaryIO, count: int, name: str) -> None:
    """Pass over ``count`` bytes; a compressed stream has to be read for that."""
    if count and stream.seekable() and not isinstance(stream, (gzip.GzipFile, zipfile.ZipExtFile)):
        stream.seek(count)
        return
    while count > 0:
        passed = len(read(stream, min(count, BLOCK), name))
        if not passed:
            raise refused(name, "The file is shorter than the position given; start from the beginning.")
        count -= passed


def blocks(stream: BinaryIO, encoding: Encoding, offset: int, name: str) -> Iterator[Block]:
    """Give the lines from the stream's place on, which is ``offset`` bytes into the file, in blocks.

    A carriage return before the line feed goes with it. Raises Refused for a line beyond LONGEST_LINE.
    """
    wide = codecs.getincrementaldecoder(encoding.codec)("replace") if encoding.is_wide else None
    rest = b""
    while data := read(stream, BLOCK, name):
        if wide is not None:
            data = wide.decode(data).encode(UTF_8, "replace")
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            block = _block(lines, offset, encoding)
            offset = block.end
            yield block
        if len(rest) > LONGEST_LINE:
            raise refused(name, f"A line is longer than {LONGEST_LINE >> 20} MiB; this is no table as text.")
    if rest:
        yield _block([rest], offset, encoding)


def _block(lines: list[bytes], offset: int, encoding: Encoding) -> Block:
    offsets = []
    for line in lines:
        offsets.append(offset)
        offset += len(line.decode(UTF_8).encode(encoding.codec)) + 2 if encoding.is_wide else len(line) + 1
    return Block([line[:-1] if line.endswith(b"\r") else line for line in lines], offsets, offset)
