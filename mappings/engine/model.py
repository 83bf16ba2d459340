"""The words that formats, maps and the engine share: messages, issues, results, and what a map consists of.

Everything here is data; ``schema`` makes Maps of YAML, ``compile_*`` makes functions, ``run`` runs them.
docs/mappings.md tells a map's author the same from outside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

if TYPE_CHECKING:
    from mappings.engine.codes import Tables
    from mappings.engine.converters import Use
    from mappings.engine.systems import Systems

Tree = dict[str, Any]
"""JSON: nested dicts and lists of strings, ints, Decimals, booleans and None. Never a float."""

Severity = Literal["fatal", "error", "warning", "information"]
"""https://hl7.org/fhir/R4/valueset-issue-severity.html"""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to know about a message: how bad, an IssueType code, where in the source, and a sentence.

    ``code``: https://hl7.org/fhir/R4/valueset-issue-type.html. ``sentence`` holds no personal data: it names
    the field and the rule, and quotes a value only where that is a code.
    """

    severity: Severity
    code: str
    where: str
    sentence: str


class Refused(Exception):
    """Raised when nothing at all can be made of the input (an unreadable file, a map that does not hold)."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__("; ".join(f"{issue.where}: {issue.sentence}" for issue in issues))
        self.issues = issues


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A source field that no pair carried over: its path, how often it had a value, and the first of those.

    The value stays in the archived original; ``value`` is for programs and is not to be printed unasked.
    """

    path: str
    count: int = 1
    value: Any = None


@dataclass(slots=True)
class Message:
    """One transaction of an interface, or one row of a table.

    ``kind``: "2207", "PAT_MASTER_INDEX". ``direction``: "request", "response", or "" where there is none.
    ``tree``: the native fields, blocks and lists by their native names (of a table: column → cell).
    ``parameters``: what stands around the fields (envelope). ``raw``: the bytes it came from, kept by the
    archive (of a table's row: its line with the line end). ``where``: file, and line or byte offset.
    """

    kind: str
    tree: Tree
    raw: bytes = b""
    where: str = ""
    direction: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a conversion needs to know that the message does not say.

    ``source``: the sending system's short name; local numbers (a hospital's patient numbers) live in a
    namespace of that name. ``zone``: offset of times that name none. ``now``: FHIR instant for
    Provenance.recorded. ``organization``: (identifier system, value) of the sending hospital or agency.
    ``values``: further named values that a map may take as ``$context.NAME``. ``archive``: keep the original.
    """

    source: str = "local"
    zone: str = "+08:00"
    now: str = "1970-01-01T00:00:00Z"
    organization: tuple[str, str] | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    archive: bool = True
    media_type: str = "application/octet-stream"


@dataclass(slots=True)
class Result:
    """What reading gave: a transaction Bundle, the fields that nothing carried over, and what to know."""

    bundle: Tree
    unmapped: list[Unmapped] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


@dataclass(slots=True)
class Written:
    """What writing gave: native messages (one, or one per row), and what to know."""

    messages: list[Message] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a map file; lines and columns count from 1."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one source field: ``values`` of None asks for presence, else for one of the values."""

    path: str
    values: tuple[str, ...] | None
    negated: bool = False
    prefix: bool = False


Condition = tuple[Test, ...]
"""All of the tests must hold; the empty condition always does."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Source fields ⇄ a FHIR element. ``sources`` has several paths only when the converter takes several."""

    sources: tuple[str, ...]
    to: str
    converters: tuple[Use, ...] = ()
    when: Condition = ()
    default: Any = None
    one_way: Literal["", "read", "write"] = ""
    reason: str = ""
    note: str = ""
    at: Position = Position()


@dataclass(frozen=True, slots=True)
class Link:
    """A FHIR element that refers to another target of the same map."""

    to: str
    target: str
    when: Condition = ()
    at: Position = Position()


@dataclass(frozen=True, slots=True)
class Group:
    """A list inside a resource, one element per row of a source block: Claim.item of the fee lines."""

    each: str
    into: str
    fields: tuple[Pair | Link | Group, ...]
    constants: tuple[tuple[str, Any], ...] = ()
    when: Condition = ()
    at: Position = Position()


By = Literal["update", "create", "refer", "logical"]


@dataclass(frozen=True, slots=True)
class Identity:
    """How a resource is known again: an identifier of ``system`` made of source fields.

    ``values`` with several paths are joined to one value (ids.join). ``search``: the parameter that finds the
    resource; another than "identifier" finds what is referred to by something that refers to it in turn.
    """

    system: str
    values: tuple[str, ...]
    when: Condition = ()
    at: Position = Position()
    search: str = "identifier"


@dataclass(frozen=True, slots=True)
class Target:
    """A resource that the map makes: once per message, or once per row of the block ``each``.

    ``identities`` are tried in order; the first whose fields all have values names the resource.
    ``by``: "update" puts it (PUT Type?identifier=…), "create" makes it unless it exists (If-None-Exist),
    "refer" only refers to it (a conditional reference), "logical" only names it (Reference.identifier).
    """

    id: str
    type: str
    fields: tuple[Pair | Link | Group, ...]
    identities: tuple[Identity, ...]
    by: By = "update"
    each: str = ""
    when: Condition = ()
    constants: tuple[tuple[str, Any], ...] = ()
    anchor: bool = False
    at: Position = Position()


# eq=False: a map is itself, so that what was compiled for it is found by identity.
@dataclass(frozen=True, eq=False, slots=True)
class Map:
    """A checked map file. ``per``: a Bundle holds one "message", or many "row"s of a table.

    ``columns``: of a table that no format defines, its columns in the order in which they are written.
    """

    name: str
    format: str
    kind: str
    targets: tuple[Target, ...]
    direction: str = ""
    title: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    per: Literal["message", "row"] = "message"
    ignored: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    tables: Tables | None = None
    systems: Systems | None = None
    archive: bool = True
    file: str = ""


class Format(Protocol):
    """A local format: bytes ⇄ messages, and the maps that know its kinds."""

    name: str

    def split(self, source: BinaryIO | bytes, options: Mapping[str, str]) -> Iterator[Message | Issue]:
        """Yield the messages of a file; an Issue for each part that cannot be read, and go on after it.

        ``options``: the format's own (kind, encoding, sheet …), and ``where``: the file's name for reports.
        """

    def join(self, messages: Sequence[Message], options: Mapping[str, str]) -> bytes:
        """Write messages of one kind as one file."""

    def maps(self, overlays: Sequence[str] = ()) -> Sequence[Map]:
        """List every map of the format, overlays applied."""

    def map_for(self, message: Message, overlays: Sequence[str] = ()) -> Map | None:
        """Return the map for a message's kind and direction; None when there is none."""

    def fields(self, map_: Map) -> Sequence[str] | None:
        """List the source paths that the format's definition knows for a map; None when it has none."""

    def needed(self, map_: Map) -> Collection[str]:
        """Return the source fields that the format's definition requires: made-up messages have them."""

    def check(self, message: Message) -> Iterable[Issue]:
        """Return what breaks a rule of the format (wrong sums); the message is converted anyway."""
