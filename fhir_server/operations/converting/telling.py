"""What $convert answers: Parameters with a part for each message, and an OperationOutcome of every issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.faults import Fault, Issue, Kind
from fhir_server.interactions.request import Tree
from fhir_server.resources.codec import decode, encode
from fhir_server.resources.outcome import all_ok, outcome
from mappings.engine import model
from mappings.engine.batches import Converted
from mappings.engine.report import ERRORS

_MOST_NAME: Final = 200
_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f]").sub
MOST_ISSUES: Final = 100
"""Issues that one outcome tells one by one; of the others it tells the number."""


@dataclass(slots=True)
class Told:
    """What became of one message, or of the rows of one Bundle.

    ``bundle``: what it became, when it was not to be stored; ``response``: what the store answered.
    ``fault``: why it was refused. ``original``: (system, digest) of the archived original; ``kept``: the same
    of one that is kept because it failed.
    """

    piece: Converted
    bundle: Tree | None = None
    response: Tree | None = None
    fault: Fault | None = None
    original: tuple[str, str] | None = None
    kept: tuple[str, str] | None = None
    also: list[Issue] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether it was converted, and stored if that was asked for.

        Some messages say nothing that becomes a resource (an answer that all is well): these are done too.
        """
        result = self.piece.result
        if self.fault is not None or result is None:
            return False
        found = (*self.piece.issues, *result.issues)
        return bool(result.bundle["entry"]) or not any(issue.severity in ERRORS for issue in found)

    def issues(self) -> list[Issue]:
        """List every issue: of reading, of the map, of the store."""
        found = list(map(issue_of, self.piece.issues))
        if self.piece.result is not None:
            found += map(issue_of, self.piece.result.issues)
        if self.fault is not None:
            found += self.fault.issues
        if self.kept is not None:
            where = f"DocumentReference?identifier={self.kept[0]}|{self.kept[1]}"
            found.append(Issue("warning", "informational", f"The original is kept as a dead letter: {where}"))
        return found + self.also


def issue_of(issue: model.Issue) -> Issue:
    """Return an issue of a map or a format as one of an OperationOutcome; its place is one in the source."""
    words = f"{issue.where}: {issue.sentence}" if issue.where else issue.sentence
    return Issue(issue.severity, issue.code, words)


def few(issues: Sequence[Issue]) -> list[Issue]:
    """Return at most so many issues as one outcome tells, the worst first, and how many there are more."""
    rank = {"fatal": 0, "error": 1, "warning": 2}
    ordered = sorted(issues, key=lambda issue: rank.get(issue.severity, 3))
    more = len(ordered) - MOST_ISSUES
    told = ordered[:MOST_ISSUES]
    if more > 0:
        told.append(Issue("information", "informational", f"There are {more} more issues of this kind."))
    return told


def refusal(told: Sequence[Told]) -> Fault:
    """Return the fault of content of which nothing came through: why, and where."""
    issues = [issue for each in told for issue in each.issues()]
    fault = next((each.fault for each in told if each.fault is not None), None)
    wrong = [issue for issue in issues if issue.severity != "information"]
    sentence = "Nothing of the content was taken; the issues say where and why."
    if not any(issue.severity in ERRORS for issue in wrong):
        sentence = "The content holds no message that becomes a resource."
        wrong.insert(0, Issue("error", "not-found", sentence))
    kind = fault.kind if fault is not None else Kind.UNPROCESSABLE
    shown = few(wrong)
    if shown[-1].severity == "information":
        shown.pop()
    return Fault(kind, sentence, issues=tuple(shown), headers=fault.headers if fault is not None else ())


def answer(told: Iterable[Told]) -> bytes:
    """Write the Parameters: ``message`` for each, then how many were done and how many were not."""
    listed = list(told)
    done = sum(len(each.piece.messages) for each in listed if each.is_done)
    failed = sum(max(len(each.piece.messages), 1) for each in listed if not each.is_done)
    parameter: list[Tree] = [{"name": "message", "part": _parts(each)} for each in listed]
    parameter.append({"name": "done", "valueInteger": done})
    parameter.append({"name": "failed", "valueInteger": failed})
    return encode({"resourceType": "Parameters", "parameter": parameter})


def written(content: Tree, issues: Sequence[Issue]) -> bytes:
    """Write the Parameters of what was written: ``content`` (a Binary) and its ``outcome``."""
    parameter = [{"name": "content", "resource": content}, {"name": "outcome", "resource": _outcome(issues)}]
    return encode({"resourceType": "Parameters", "parameter": parameter})


def _parts(told: Told) -> list[Tree]:
    piece = told.piece
    parts: list[Tree] = []
    if piece.messages:
        first = piece.messages[0]
        if first.where:
            parts.append({"name": "where", "valueString": printed(first.where)})
        parts.append({"name": "kind", "valueString": printed(f"{first.kind} {first.direction}")})
        parts.append({"name": "count", "valueInteger": len(piece.messages)})
    if piece.map is not None:
        parts.append({"name": "map", "valueString": piece.map.name})
    parts.append({"name": "done", "valueBoolean": told.is_done})
    parts += [
        {"name": name, "resource": tree}
        for name, tree in (("bundle", told.bundle), ("response", told.response))
        if tree is not None
    ]
    parts += [
        {"name": name, "valueIdentifier": {"system": pair[0], "value": pair[1]}}
        for name, pair in (("original", told.original), ("dead-letter", told.kept))
        if pair is not None
    ]
    parts.append({"name": "outcome", "resource": _outcome(told.issues())})
    if piece.result is not None:
        parts += [_unmapped(left) for left in piece.result.unmapped]
    return parts


def printed(name: str) -> str:
    """Return a name that a stranger chose as a string that R4 takes: no control characters, not blank."""
    shown = _unprintable("\ufffd", name[:_MOST_NAME]).strip()
    return shown or "\ufffd"


def _unmapped(left: model.Unmapped) -> Tree:
    part: list[dict[str, Any]] = [
        {"name": "path", "valueString": printed(left.path)},
        {"name": "count", "valueInteger": left.count},
    ]
    return {"name": "unmapped", "part": part}


def _outcome(issues: Sequence[Issue]) -> Tree:
    return decode(outcome(few(issues)) if issues else all_ok())
