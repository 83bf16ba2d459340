"""Resources become bytes of a local format: those that were sent, and those that a read or search shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Reply, Request, Tree
from fhir_server.operations.converting.asked import Asked
from fhir_server.operations.converting.reading import context_of, in_thread
from fhir_server.operations.converting.storing import run
from fhir_server.operations.converting.telling import few, issue_of, written
from fhir_server.resources.bundle import target
from fhir_server.resources.codec import decode, encode
from mappings.engine.model import Map, Refused, Written
from mappings.engine.report import ERRORS
from mappings.engine.write import write

_SEARCHES: Final = frozenset({"search-type", "search-compartment", "search-system"})
_READS: Final = frozenset({"read", "vread"})
_DELIMITERS: Final = frozenset({",", "\t", "|", ";", "^", "\x01"})
_MOST_NAMES: Final = 200


async def write_resources(context: Context, asked: Asked) -> Reply:
    """Return the bytes as a Binary, or with ``report`` Parameters of it and of what has no place in it.

    Faults: BAD_PARAMETER, TOO_LARGE, UNPROCESSABLE when a value cannot be written or nothing can be, and
    whatever a read or search is refused for.
    """
    map_ = await in_thread(lambda: _map(asked))
    entries = [entry async for entry in _entries(context, asked)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}

    def step() -> tuple[Written, bytes]:
        made = write(map_, bundle, context_of(asked))
        return made, asked.format.join(made.messages, asked.options) if made.messages else b""

    try:
        made, data = await in_thread(step)
    except Refused as refused:
        raise _refused([issue_of(issue) for issue in refused.issues]) from None
    issues = [issue_of(issue) for issue in made.issues]
    if not made.messages or (not asked.report and any(issue.severity in ERRORS for issue in issues)):
        raise _refused(issues)
    media = asked.format.media_type(made.messages, asked.options)
    binary = {"resourceType": "Binary", "contentType": media, "data": b64encode(data).decode()}
    if asked.report:
        return Reply(200, written(binary, issues))
    return Reply(200, encode(binary), headers=(("X-Convert-Issues", str(len(issues))),))


def _map(asked: Asked) -> Map:
    delimiter = asked.options.get("delimiter", ",")
    if delimiter not in _DELIMITERS:
        raise Fault(Kind.BAD_PARAMETER, "delimiter is a comma, tab, bar, semicolon, circumflex or byte 01.")
    try:
        maps = asked.format.maps(asked.overlays)
    except Refused:
        raise Fault(Kind.BAD_PARAMETER, "These profiles do not go together.") from None
    found = next((map_ for map_ in maps if map_.name == asked.map), None)
    if found is None:
        names = ", ".join(sorted(map_.name for map_ in maps)[:_MOST_NAMES])
        raise Fault(Kind.BAD_PARAMETER, f"{asked.format.name} has no such map; it has: {names}.")
    return found


async def _entries(context: Context, asked: Asked) -> Any:
    """Yield the entries to write; TOO_LARGE beyond the most that a Bundle may hold."""
    count = 0
    most = context.settings.max_entries
    trees = list(asked.resources)
    trees += [await _shown(context, url) for url in asked.urls]
    for tree in trees:
        for entry in _of(tree):
            count += 1
            if count > most:
                raise Fault(Kind.TOO_LARGE, f"At most {most} resources are written at once; name fewer.")
            yield entry


def _of(tree: Tree) -> Iterator[Tree]:
    """Yield a Bundle's entries that have a resource, or the resource itself as one."""
    if tree.get("resourceType") != "Bundle":
        yield {"resource": tree}
        return
    listed = tree.get("entry", [])
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise Fault(Kind.BAD_REQUEST, "Bundle.entry is a list of objects.", "Bundle.entry")
    for entry in listed:
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") != "OperationOutcome":
            yield {"resource": resource, **({"fullUrl": entry["fullUrl"]} if "fullUrl" in entry else {})}


async def _shown(context: Context, url: str) -> Tree:
    """Return what the caller sees under an address: a resource, or a search's first page if that is all."""
    found = target("GET", url, context.request.base)
    if found.name not in _SEARCHES | _READS:
        raise Fault(
            Kind.BAD_PARAMETER,
            "url is a read or a search, relative to the base: Encounter/1, Patient?identifier=….",
            "Parameters.parameter",
        )
    parameters = found.parameters
    if found.name in _SEARCHES and all(name != "_count" for name, _ in parameters):
        parameters = (*parameters, ("_count", str(context.settings.max_count)))
    request = Request(
        found.name,
        found.type,
        found.id,
        found.version,
        parameters=parameters,
        compartment=found.compartment,
        prefer_strict=True,
    )
    tree = decode((await run(context, request)).body, max_depth=context.settings.max_depth + 8)
    if any(link.get("relation") == "next" for link in tree.get("link", []) if isinstance(link, dict)):
        raise Fault(
            Kind.TOO_LARGE,
            f"A search matches more than one page ({context.settings.max_count}); narrow it.",
            "Parameters.parameter",
        )
    return tree


def _refused(issues: list[Issue]) -> Fault:
    wrong = [issue for issue in issues if issue.severity != "information"]
    sentence = "The resources cannot be written in this format; the issues say which element, and why."
    shown = few(wrong or [Issue("error", "processing", sentence)])
    return Fault(
        Kind.UNPROCESSABLE, sentence, issues=tuple(each for each in shown if each.severity != "information")
    )
