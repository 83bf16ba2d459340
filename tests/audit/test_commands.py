"""``fhir-server audit``: what an administrator sees and gets."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.audit.export import digest_of
from fhir_server.audit.keys import verify as is_signed
from fhir_server.audit.prune import DAY_MS
from fhir_server.audit.segment import read_statement
from fhir_server.audit.shelf import Segment
from fhir_server.cli import app, main
from fhir_server.clock import instant, now_ms
from fhir_server.validation import errors
from tests import engines
from tests.architecture.sizes import ROOT
from tests.audit.hands import flip, hands_on
from tests.audit.world import NOW, keys_in, read, shelf_in, write, written

pytestmark = pytest.mark.every_engine

FIRST = Segment("p00", 1)


class Answer:
    """Exit code and output of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Command:
    """Runs ``fhir-server audit`` on one folder, as a person would."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd

    def __call__(self, *words: str) -> Answer:
        self._monkeypatch.setenv("FHIR_STORE", engines.address(self.folder))
        places = ["--data", str(self.folder), "--keys", str(self.folder / "keys")]
        self._monkeypatch.setattr("sys.argv", ["fhir-server", "audit", *words, *places])
        with pytest.raises(SystemExit) as stopped:
            main()
        return Answer(int(stopped.value.code or 0), *self._capfd.readouterr())


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Return the command on a folder with four entries in the log."""
    keys_in(tmp_path)
    write(tmp_path, [[read(number)] for number in range(4)])
    return Command(tmp_path, monkeypatch, capfd)


def spoil(folder: Path) -> None:
    """Change the last entry of the log."""
    with closing(shelf_in(folder)) as shelf:
        hands_on(shelf, folder / "audit").write(FIRST, flip(shelf.content(FIRST) or b""))


def test_verify_says_that_all_is_sound(command: Command) -> None:
    answer = command("verify")

    assert answer.code == 0
    assert "4 entries in 1 segments" in answer.out


def test_verify_says_what_is_wrong_and_where(command: Command) -> None:
    spoil(command.folder)
    answer = command("verify")

    assert answer.code == 1
    assert "p00/00000001, entry 3: it was changed" in answer.out


def test_verify_hears_log_lines_that_were_collected_elsewhere(command: Command) -> None:
    lines = command.folder / "collected.log"
    lines.write_text('{"logger": "fhir_server.audit", "segment": "p00/00000002", "hash": "00"}\n')
    answer = command("verify", "--witness", str(lines))

    assert answer.code == 1
    assert "p00/00000002: the segment is missing" in answer.out
    lines.write_text("other lines\n")
    assert command("verify", "--witness", str(lines)).code == 0
    assert command("verify", "--witness", str(lines) + "x").code == 2


def test_verify_without_keys_is_one_sentence(command: Command) -> None:
    (command.folder / "keys/ring.json").unlink()

    assert command("verify").code == 1


def test_index_says_how_many_events_there_are_and_none_the_second_time(command: Command) -> None:
    assert command("index").out == "4 AuditEvents indexed.\n"
    assert command("index").out == "0 AuditEvents indexed.\n"


def test_an_export_is_valid_and_its_signature_holds(command: Command) -> None:
    file = command.folder / "export.ndjson"
    assert command("export", "--out", str(file)).code == 0
    public = command("public-key").out.encode()
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]

    assert [line["resourceType"] for line in lines] == ["AuditEvent"] * 4 + ["Provenance"]
    assert [errors(line) for line in lines] == [[]] * 5
    signature = base64.b64decode(lines[-1]["signature"][0]["data"])
    assert is_signed(public, signature, digest_of(file.read_bytes()))
    altered = file.read_bytes().replace(b"Observation/o1", b"Observation/o9", 1)
    assert not is_signed(public, signature, digest_of(altered))


def test_an_export_holds_the_span_that_was_asked_for(command: Command) -> None:
    answer = command("export", "--since", instant(NOW + 1), "--until", instant(NOW + 3))

    ids = [json.loads(line).get("id") for line in answer.out.splitlines()]
    assert ids == ["p00-1-1-0", "p00-1-2-0", None]


def test_an_export_of_a_broken_log_is_refused(command: Command) -> None:
    spoil(command.folder)
    answer = command("export")

    assert answer.code == 1
    assert "Provenance" not in answer.out
    assert "audit verify" in answer.err


def test_a_day_that_is_none_is_misuse(command: Command) -> None:
    assert command("export", "--since", "yesterday").code == 2


def test_prune_removes_what_is_old_and_its_events_and_nothing_else(command: Command) -> None:
    command("index")
    assert command("prune", "--days", "36500", "--yes").out == "Nothing is older than 36500 days.\n"
    write(command.folder, [[read(1, at=now_ms())]])
    with closing(shelf_in(command.folder)) as shelf:
        statement = read_statement(shelf.statement(FIRST))
    assert statement is not None
    assert statement.last < now_ms() - 180 * DAY_MS

    answer = command("prune", "--days", "180", "--yes")

    assert "Pruned: p00/00000001." in answer.out
    assert "1 AuditEvents indexed anew." in answer.out
    assert len(written(command.folder)) == 1
    assert command("verify").code == 0


def test_pruning_below_the_legal_days_is_misuse(command: Command) -> None:
    assert command("prune", "--days", "179", "--yes").code == 2


def test_pruning_while_a_process_holds_a_chain_is_refused(command: Command) -> None:
    with closing(shelf_in(command.folder)) as shelf:
        hold = shelf.take()
        answer = command("prune", "--days", "180", "--yes")
        hold.release()

    assert answer.code == 1
    assert "stop it" in answer.err


def test_every_audit_command_is_on_the_page_of_the_command_line() -> None:
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    (group,) = [each for each in app.registered_groups if each.name == "audit"]
    assert group.typer_instance is not None
    commands = group.typer_instance.registered_commands
    names = [each.name or each.callback.__name__ for each in commands if each.callback]

    assert len(names) == 6
    assert [name for name in names if f"`fhir-server audit {name}`" not in page] == []
