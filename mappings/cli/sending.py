"""Bundles to a FHIR server: several under way, refusals described and narrowed to single rows, resumable.

A Bundle that the server refuses is parted in two and sent again, until the rows that cannot come in stand
alone: the others are not kept out by them. Sending something twice changes nothing (conditional updates), so
that going on after a crash may repeat the last few Bundles.
https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mappings.cli.files import Input
from mappings.cli.options import err
from mappings.engine.batches import Converted
from mappings.engine.model import Context, Issue, Refused, Result
from mappings.engine.report import Report
from mappings.engine.run import read_all

_UNDER_WAY = 4
_ATTEMPTS = 5
_LONGEST_WAIT = 30.0
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PACKED = frozenset({".gz", ".zip", ".xlsx", ".xlsm"})


class Sender:
    """Sends Bundles to one server and remembers in ``journal`` how far each file has come."""

    def __init__(self, server: str, token: str, context: Context, journal: Path | None) -> None:
        headers = {
            "Content-Type": "application/fhir+json",
            "Accept": "application/fhir+json",
            "Prefer": "return=minimal",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.url = server.rstrip("/")
        self.client = httpx.Client(headers=headers, timeout=120, follow_redirects=False)
        self.context = context
        self.journal = _Journal(journal)
        self.rows = 0
        self.began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]} messages, {task.fields[rate]:.0f}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )

    def after(self, each: Input) -> str | None:
        """Return the position after which reading a file goes on; None when it begins at the beginning."""
        found = self.journal.of(each).get("after")
        return str(found) if found is not None else None

    def send(self, each: Input, pieces: Iterable[Converted]) -> Iterator[Converted]:
        """Send the pieces of one file, several at once; yield them in order, refusals among their issues."""
        done = self.journal.of(each)
        skip = 0 if "after" in done else int(done.get("pieces", 0))
        whole = each.size if each.path and each.path.suffix.lower() not in _PACKED else None
        waiting: deque[tuple[Converted, Future[list[Issue]] | None]] = deque()
        count = 0
        with ThreadPoolExecutor(_UNDER_WAY) as pool, self.progress:
            bar = self.progress.add_task(each.name, total=whole, rows=self.rows, rate=0.0)
            for piece in pieces:
                count += 1
                if count <= skip:
                    continue
                has_entries = piece.result is not None and piece.result.bundle["entry"]
                waiting.append((piece, pool.submit(self._send, piece) if has_entries else None))
                if len(waiting) > _UNDER_WAY:
                    yield self._finished(each, *waiting.popleft(), bar, count - len(waiting))
            while waiting:
                yield self._finished(each, *waiting.popleft(), bar, count - len(waiting))

    def finish(self, told: Report) -> None:
        """Close the connection; say how fast it went."""
        self.client.close()
        seconds = max(time.monotonic() - self.began, 0.001)
        err.print(
            f"{self.rows} messages sent in {seconds:.1f} s ({self.rows / seconds:.0f}/s), "
            f"{told.severities['error']} errors.",
            highlight=False,
        )

    def _finished(
        self, each: Input, piece: Converted, sent: Future[list[Issue]] | None, bar: TaskID, count: int
    ) -> Converted:
        if sent is not None:
            piece.issues += sent.result()
        self.rows += len(piece.messages)
        position = getattr(piece.messages[-1], "position", None) if piece.messages else None
        self.journal.note(each, {"after": position.text} if position is not None else {"pieces": count})
        self.progress.update(
            bar,
            advance=sum(len(message.raw) for message in piece.messages),
            rows=self.rows,
            rate=self.rows / max(time.monotonic() - self.began, 0.001),
        )
        return piece

    def _send(self, piece: Converted) -> list[Issue]:
        """Send a Bundle; part it where the server refuses it. Return what was refused."""
        assert piece.result is not None
        refused = self._post(piece.result.bundle)
        if not refused:
            return []
        messages = piece.messages
        if len(messages) == 1 or piece.map is None:
            where = messages[0].where if messages else ""
            return [Issue("error", one.code, f"{where} {one.where}".strip(), one.sentence) for one in refused]
        middle = len(messages) // 2
        return [
            issue
            for half in (messages[:middle], messages[middle:])
            for issue in self._send(Converted([], self._again(piece, half), piece.map, half))
        ]

    def _again(self, piece: Converted, messages: Any) -> Result:
        assert piece.map is not None
        return read_all(piece.map, messages, self.context)

    def _post(self, bundle: Any) -> list[Issue]:
        """Post a Bundle; return why it is refused, [] when it is in. Refused when none can come in."""
        body = _ENCODER.encode(bundle)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self.client.post(self.url, content=body)
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS:
                    raise self._stopped(f"The server cannot be reached ({type(error).__name__}).") from error
                time.sleep(min(0.2 * 2**attempt, _LONGEST_WAIT))
                continue
            if answer.is_success:
                return []
            if answer.status_code in {401, 403}:
                raise self._stopped(f"The server lets us not in ({answer.status_code}): {_reason(answer)}")
            if answer.status_code not in {409, 412, 429, 502, 503} or attempt == _ATTEMPTS:
                return _refusals(answer)
            time.sleep(_wait(answer, attempt))
        raise AssertionError

    def _stopped(self, sentence: str) -> Refused:
        again = " The same command goes on where it stopped." if self.journal.file is not None else ""
        return Refused(Issue("fatal", "transient", self.url, sentence + again))


class _Journal:
    """How far each file was sent: name and digest of its beginning → position. No content of any file."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.files: dict[str, dict[str, Any]] = {}
        self._noted = 0.0
        if file is not None and file.exists():
            try:
                self.files = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, Any]])
            except msgspec.DecodeError as error:
                raise Refused(
                    Issue("fatal", "structure", str(file), "This is no journal of fhir-map.")
                ) from error

    def of(self, each: Input) -> dict[str, Any]:
        """Return what is noted of a file."""
        return self.files.get(self._key(each), {})

    def note(self, each: Input, what: dict[str, Any]) -> None:
        """Note how far a file has come; on disk at once, for a crash must not lose it."""
        if self.file is None:
            return
        self.files[self._key(each)] = what
        draft = self.file.with_name(self.file.name + ".new")
        draft.write_bytes(msgspec.json.encode(self.files))
        draft.replace(self.file)

    def _key(self, each: Input) -> str:
        if each.path is None:
            return "-"
        with each.path.open("rb") as stream:
            return f"{each.name} {sha256(stream.read(65_536)).hexdigest()[:16]}"


def _wait(answer: httpx.Response, attempt: int) -> float:
    told = answer.headers.get("Retry-After", "")
    return min(float(told) if told.isdecimal() else 0.2 * 2**attempt, _LONGEST_WAIT)


def _outcome(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        tree = answer.json()
    except ValueError:
        return []
    issues = tree.get("issue", []) if isinstance(tree, dict) else []
    return [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []


def _reason(answer: httpx.Response) -> str:
    texts = [str(issue.get("diagnostics", "")) for issue in _outcome(answer)]
    return " ".join(text for text in texts if text) or "it does not say why."


def _refusals(answer: httpx.Response) -> list[Issue]:
    """Return a refusal's issues, as the server's OperationOutcome says them."""
    found = [
        Issue(
            "error",
            str(issue.get("code", "processing")),
            str((issue.get("expression") or [""])[0]),
            f"The server refuses it ({answer.status_code}): {issue.get('diagnostics') or issue.get('code')}",
        )
        for issue in _outcome(answer)
        if issue.get("severity") in {"fatal", "error"}
    ]
    return found or [Issue("error", "processing", "", f"The server refuses it ({answer.status_code}).")]
