"""Content becomes transaction Bundles, step by step in a thread, within the limits of one request.

Everything is converted before anything is stored: content beyond a limit leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from fhir_server.clock import instant, now_ms
from fhir_server.config import Settings
from fhir_server.faults import Fault, Kind
from fhir_server.faults import Issue as FhirIssue
from fhir_server.interactions.request import Content, Tree
from fhir_server.interactions.write import invalid
from fhir_server.operations.converting.asked import Asked, check_overlays
from fhir_server.resources.codec import decode, encode
from fhir_server.validation import errors
from mappings.engine.batches import ROWS, Converted, convert
from mappings.engine.model import Context, Issue, Message, Refused
from mappings.engine.report import ERRORS

T = TypeVar("T")

_THREADS: Final = ThreadPoolExecutor(2, "convert")
"""Conversion computes and waits for nothing: more threads would only take turns, and others would wait."""

_ZIP: Final = b"PK\x03\x04"
_MOST_UNPACKED: Final = 8
"""What a ZIP or a workbook may unpack to, in times of the largest content."""


@dataclass(slots=True)
class Reading:
    """What content became: its pieces in order, and the issues of what could not be read at all."""

    pieces: list[Converted] = field(default_factory=list)
    unreadable: list[Issue] = field(default_factory=list)


def context_of(asked: Asked) -> Context:
    """Return what the maps need to know that the content does not say."""
    return Context(
        source=asked.source,
        zone=asked.zone,
        now=instant(now_ms()),
        organization=asked.organization,
        archive=asked.archive,
        media_type=asked.content.media if asked.content is not None else asked.format.media_type(),
    )


async def in_thread(step: Callable[[], T]) -> T:
    """Run one step of a conversion while the server answers others; given up between steps."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, step)


async def read_content(asked: Asked, context: Context, settings: Settings, rows: int | None) -> Reading:
    """Convert the content. Faults: TOO_LARGE for more messages than the setting allows, BAD_PARAMETER."""
    assert asked.content is not None
    _check_packed(asked.content, settings.max_convert_bytes)
    reading = Reading()

    def begin() -> Iterator[Converted]:
        check_overlays(asked)
        found = _watched(asked, reading.unreadable, settings.max_convert_messages)
        return convert(asked.format, found, context, asked.overlays, rows or asked.rows or ROWS)

    steps = await in_thread(begin)
    while (piece := await in_thread(lambda: next(steps, None))) is not None:
        reading.pieces.append(piece)
    return reading


def checked(bundle: Tree, settings: Settings) -> Tree:
    """Return a Bundle as the door would decode it. Faults: SYNTAX for what no body may hold."""
    try:
        body = encode(bundle)
    except UnicodeEncodeError:
        raise Fault(Kind.SYNTAX, "A text holds half of a character (a lone surrogate).") from None
    return decode(body, max_depth=settings.max_depth)


def valid(bundle: Tree, settings: Settings) -> Tree:
    """Return a Bundle whose resources keep the rules of R4. Fault UNPROCESSABLE with all that they break."""
    bundle = checked(bundle, settings)
    issues = [
        FhirIssue(issue.severity, issue.code, issue.diagnostics, _below(index, issue.expression))
        for index, entry in enumerate(bundle["entry"])
        for issue in errors(entry["resource"])
    ]
    if issues:
        raise invalid(issues)
    return bundle


def _below(index: int, expression: tuple[str, ...]) -> tuple[str, ...]:
    """Return expressions of an entry's resource as expressions of the Bundle."""
    place = f"Bundle.entry[{index}].resource"
    return tuple(f"{place}.{path.partition('.')[2]}".rstrip(".") for path in expression) or (place,)


def _watched(asked: Asked, unreadable: list[Issue], most: int) -> Iterator[Message | Issue]:
    """Yield what the format finds; note what it cannot read; a refusal is an issue like another.

    Both messages and issues count: content that is nothing but damage ends too.
    """
    assert asked.content is not None
    for count, item in enumerate(_found(asked, asked.content.data), 1):
        if count > most:
            raise Fault(
                Kind.TOO_LARGE,
                f"The content holds more than {most} messages; split it, or send it with fhir-map convert.",
            )
        if isinstance(item, Issue) and item.severity in ERRORS:
            unreadable.append(item)
        yield item


def _found(asked: Asked, data: bytes) -> Iterable[Message | Issue]:
    try:
        yield from asked.format.split(data, asked.options)
    except Refused as refused:
        yield from refused.issues


def _check_packed(content: Content, most: int) -> None:
    """Refuse a ZIP that unpacks to far more than may be sent; what it announces is all that is unpacked."""
    if not content.data.startswith(_ZIP):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return  # the format says what is wrong with it
    if size > most * _MOST_UNPACKED:
        raise Fault(Kind.TOO_LARGE, f"The content unpacks to more than {most * _MOST_UNPACKED} bytes.")
