"""What a conversion has to say, counted and put into words: for people as lines, for programs as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mappings.engine.model import Issue, Unmapped

MOST_ISSUES = 1_000
"""Issues that are kept one by one; of more than that the kinds are counted."""

ERRORS = frozenset({"fatal", "error"})
_WORDS = {"fatal": "refusal", "error": "error", "warning": "warning", "information": "note"}


@dataclass(slots=True)
class Report:
    """Collects issues and unmapped fields of any number of messages in little memory."""

    messages: int = 0
    bundles: int = 0
    resources: int = 0
    issues: list[Issue] = field(default_factory=list)
    severities: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)

    def add(self, issues: Iterable[Issue], unmapped: Iterable[Unmapped] = ()) -> None:
        """Take in what a piece of the input gave."""
        for issue in issues:
            self.severities[issue.severity] += 1
            if len(self.issues) < MOST_ISSUES:
                self.issues.append(issue)
        for left in unmapped:
            self.unmapped[left.path] += left.count

    @property
    def failed(self) -> bool:
        """True when something could not be converted."""
        return any(self.severities[severity] for severity in ERRORS)

    def lines(self) -> Iterator[str]:
        """Yield the report for people; it quotes no values but codes."""
        for issue in self.issues:
            yield f"{issue.severity}: {issue.where}: {issue.sentence}"
        more = sum(self.severities.values()) - len(self.issues)
        if more:
            yield f"… and {more} more."
        for path, count in sorted(self.unmapped.items()):
            times = "" if count == 1 else f" ({count} times)"
            yield f"unmapped: {path}{times}: kept in the archived original only"
        done = (
            _times(self.messages, "message"),
            _times(self.bundles, "Bundle"),
            _times(self.resources, "resource"),
        )
        found = [_times(number, _WORDS[severity]) for severity, number in self.severities.items() if number]
        yield ", ".join(done) + (f"; {', '.join(found)}" if found else "")

    def tree(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "messages": self.messages,
            "bundles": self.bundles,
            "resources": self.resources,
            "issues": [
                {"severity": one.severity, "code": one.code, "where": one.where, "sentence": one.sentence}
                for one in self.issues
            ],
            "counts": dict(self.severities),
            "unmapped": dict(sorted(self.unmapped.items())),
        }


def _times(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
