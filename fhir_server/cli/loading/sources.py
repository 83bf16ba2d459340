"""Where resources come from: files, folders, standard input, the demo data - each read piece by piece."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from fhir_server.demo import bundles
from fhir_server.faults import Fault, Kind

STANDARD_INPUT = Path("-")
_LINES = (".ndjson", ".jsonl")
_WHOLE = (".json",)
_GZIP = ".gz"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to load. ``content``: its bytes, or its tree when it was decoded already.

    ``position`` counts from 1 within the source and is the same whenever the source is read; ``where`` says
    it in words. ``reached``: bytes of the source read so far.
    """

    position: int
    where: str
    content: bytes | dict[str, Any]
    reached: int


@dataclass(frozen=True, slots=True)
class Source:
    """Something that holds pieces. ``fingerprint``: None when it cannot be read again. ``size`` in bytes."""

    name: str
    fingerprint: str | None
    size: int
    pieces: Callable[[], Iterator[Piece]]


def find(paths: Iterable[Path], stdin: IO[bytes]) -> list[Source]:
    """List what ``paths`` name; folders are walked in the order of their file names.

    Raises Fault when a folder holds no file that could be loaded.
    """
    found: list[Source] = []
    for path in paths:
        if path == STANDARD_INPUT:
            found.append(Source("standard input", None, 0, lambda: _pieces(stdin, None, lambda: 0)))
        elif path.is_dir():
            inside = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_loadable(file)]
            if not inside:
                raise Fault(
                    Kind.BAD_REQUEST, f"{path} holds no .json, .ndjson or .jsonl file, zipped or not."
                )
            found += map(_file, inside)
        else:
            found.append(_file(path))
    return found


def demo_source(seed: int) -> Source:
    """Return the demo data as a source of transactions."""

    def pieces() -> Iterator[Piece]:
        for position, (name, bundle) in enumerate(bundles(seed), 1):
            yield Piece(position, name, bundle, position)

    return Source("demo data", f"demo:{seed}", 42, pieces)


def _is_loadable(path: Path) -> bool:
    return _suffix(path) in (*_LINES, *_WHOLE)


def _suffix(path: Path) -> str:
    """Return the ending that tells the format, ``.gz`` put aside."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == _GZIP else path.suffix.lower()


def _file(path: Path) -> Source:
    status = path.stat()
    told = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    fingerprint = hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()

    def pieces() -> Iterator[Piece]:
        with path.open("rb") as raw:
            yield from _pieces(raw, _suffix(path) in _LINES if _is_loadable(path) else None, raw.tell)

    return Source(str(path), fingerprint, status.st_size, pieces)


def _pieces(raw: IO[bytes], lines: bool | None, reached: Callable[[], int]) -> Iterator[Piece]:
    """Cut a stream: line by line, or as one piece; ``lines`` None: look at the first line to find out."""
    stream = _unzipped(raw)
    try:
        if lines is None:
            first = stream.readline()
            lines = _is_one_object(first)
            if not lines:
                yield Piece(1, "", first + stream.read(), reached())
                return
            yield from _line(1, first, reached())
            yield from _all_lines(stream, 2, reached)
        elif lines:
            yield from _all_lines(stream, 1, reached)
        else:
            yield Piece(1, "", stream.read(), reached())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Fault(Kind.SYNTAX, "The zipped file is damaged or cut short; make it anew.") from error


def _unzipped(raw: IO[bytes]) -> io.BufferedIOBase:
    buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", raw))
    return gzip.GzipFile(fileobj=buffered) if buffered.peek(2)[:2] == _GZIP_MAGIC else buffered


def _all_lines(stream: io.BufferedIOBase, start: int, reached: Callable[[], int]) -> Iterator[Piece]:
    for number, text in enumerate(stream, start):
        yield from _line(number, text, reached())


def _line(number: int, text: bytes, reached: int) -> Iterator[Piece]:
    if content := text.strip():
        yield Piece(number, f"line {number}", content, reached)


def _is_one_object(line: bytes) -> bool:
    """Tell whether a first line is a whole JSON object: then the stream is NDJSON (or one resource)."""
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        return False
