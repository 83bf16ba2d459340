"""FHIRPath: what expressions mean on FHIR data, what is refused, and what a second engine says.

http://hl7.org/fhirpath/N1/ and https://hl7.org/fhir/R4/fhirpath.html
"""

import copy
from decimal import Decimal
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.faults import Fault, Kind
from fhir_server.resources import fhirpath
from fhir_server.resources.fhirpath import FhirPathError
from fhir_server.resources.fhirpath.registry import FUNCTIONS
from fhir_server.resources.types import definitions
from tests.strategies import resources

_TIME = {"url": "http://x/time", "valueDateTime": "1980-02-29T08:30:00+08:00"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "org", "name": "O"}],
    "name": [
        {
            "use": "official",
            "family": "Zhang",
            "given": ["a", None, "c"],
            "_given": [None, {"extension": [{"url": "http://x/masked", "valueCode": "masked"}]}, None],
        },
        {"use": "usual", "given": ["d", "a"]},
    ],
    "active": True,
    "birthDate": "1980-02-29",
    "_birthDate": {"extension": [_TIME]},
    "deceasedDateTime": "2020-01-01T10:00:00Z",
    "multipleBirthInteger": 2,
    "generalPractitioner": [{"reference": "Practitioner/1"}],
    "managingOrganization": {"reference": "#org"},
}
_UCUM = "http://unitsofmeasure.org"
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "x"}]},
    "valueQuantity": {"value": Decimal("1.50"), "unit": "mg", "system": _UCUM, "code": "mg"},
    "component": [
        {"code": {"text": "one"}, "valueString": "s"},
        {"code": {"text": "two"}, "valueQuantity": {"value": 3, "unit": "mg", "code": "mg"}},
    ],
}
_NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z in milliseconds."""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Patient.name.family", ["Zhang"]),
        ("name.given", ["a", "c", "d", "a"]),
        ("Observation.name", []),
        ("Resource.id", ["p"]),
        ("name[1].given[0]", ["d"]),
        ("name[7]", []),
        ("name.given.count()", [5]),
        ("name.given[1].extension.value", ["masked"]),
        ("name.given[1].hasValue()", [False]),
        ("birthDate.extension('http://x/time').value", ["1980-02-29T08:30:00+08:00"]),
        ("birthDate.extension('http://x/other').value", []),
        ("deceased", ["2020-01-01T10:00:00Z"]),
        ("deceased.ofType(dateTime)", ["2020-01-01T10:00:00Z"]),
        ("deceased.ofType(boolean)", []),
        ("deceased is dateTime", [True]),
        ("deceased is boolean", [False]),
        ("(multipleBirth as integer) + 1", [3]),
        ("name.where(use = 'official').family", ["Zhang"]),
        ("name.where(use = 'nickname').exists()", [False]),
        ("name.exists(given contains 'd')", [True]),
        ("name.all(given.exists())", [True]),
        ("name.select(given.count())", [3, 2]),
        ("name.given.distinct()", ["a", None, "c", "d"]),
        ("name.given.isDistinct()", [False]),
        ("name.given.first() | name.given.last()", ["a"]),
        ("name.given.where($this.hasValue()).tail().take(1)", ["c"]),
        ("name.given.skip(3)", ["d", "a"]),
        ("name.given.exclude('a')", [None, "c", "d"]),
        ("('a' | 'b').subsetOf('a' | 'b' | 'c')", [True]),
        ("('a' | 'b').supersetOf('c')", [False]),
        ("('a' | 'b').intersect('b' | 'c')", ["b"]),
        ("('a').combine('a')", ["a", "a"]),
        ("name.select($index)", [0, 1]),
        ("(1 | 2 | 3).aggregate($this + $total, 0)", [6]),
        ("iif(active, 'yes', 'no')", ["yes"]),
        ("iif(active.not(), 'yes')", []),
        ("managingOrganization.resolve().name", ["O"]),
        ("managingOrganization.resolve() is Organization", [True]),
        ("generalPractitioner.resolve()", []),
        ("contained.ofType(Organization).name", ["O"]),
        ("%resource.id = %context.id", [True]),
        ("%ucum", [_UCUM]),
        ("%unknown", []),
        ("%`vs-administrative-gender`", ["http://hl7.org/fhir/ValueSet/administrative-gender"]),
        ("name.`family`", ["Zhang"]),
        ("{}.empty()", [True]),
        ("descendants().where($this is HumanName).count()", [2]),
        ("children().ofType(HumanName).count()", [2]),
        ("repeat(extension).empty()", [True]),
        ("name.given.trace('x').count()", [5]),
        ("name.repeat(given).count()", [4]),
        ("true and {}", []),
        ("false and {}", [False]),
        ("{} or true", [True]),
        ("{} implies true", [True]),
        ("false implies {}", [True]),
        ("true xor true", [False]),
        ("{} xor true", []),
        ("1 + 2 * 3", [7]),
        ("(1 + 2) * 3", [9]),
        ("-1 - -2", [1]),
        ("7 div 2", [3]),
        ("-7 div 2", [-3]),
        ("-7 mod 2", [-1]),
        ("1 / 0", []),
        ("1 / 4", [Decimal("0.25")]),
        ("1.10 + 1", [Decimal("2.10")]),
        ("'a' + 'b' & {}", ["ab"]),
        ("'a' + {}", []),
        ("1 = 1.0", [True]),
        ("1 != 2", [True]),
        ("1 = true", [False]),
        ("{} = 1", []),
        ("'A' ~ 'a'", [True]),
        ("1.0 ~ 1.04", [True]),
        ("('a' | 'b') ~ ('b' | 'a')", [True]),
        ("('a' | 'b') = ('b' | 'a')", [False]),
        ("'a' !~ 'b'", [True]),
        ("2 in (1 | 2)", [True]),
        ("(1 | 2) contains 3", [False]),
        ("'a' < 'b'", [True]),
        ("1 >= 2", [False]),
        ("@2020 < @2021-01", [True]),
        ("@2020 < @2020-01", []),
        ("@2020-01-01T10:00:00Z = @2020-01-01T18:00:00+08:00", [True]),
        ("@2020-01-01T10:00:00Z < @2020-01-01T10:00:00.001Z", [True]),
        ("@T10:00 < @T11:00", [True]),
        ("@2020-01-31 + 1 month", ["2020-02-29"]),
        ("@2020-02-29 - 1 year", ["2019-02-28"]),
        ("@2020-12-31 + 1 day", ["2021-01-01"]),
        ("@2020-01-01T23:59:59Z + 2 seconds", ["2020-01-02T00:00:01Z"]),
        ("@T23:30 + 45 minutes", ["00:15"]),
        ("@9999-12-31 + 1 day", []),
        ("birthDate <= today()", [True]),
        ("birthDate + 40 years > now()", [False]),
        ("today()", ["2026-01-01"]),
        ("timeOfDay()", ["00:00:00.000"]),
        ("2 days = 2 'd'", [True]),
        ("4 'mg' * 2", [{"value": Decimal(8), "unit": "mg"}]),
        ("4 'mg' + 2 'g'", []),
        ("'abc'.substring(1, 1)", ["b"]),
        ("'abc'.substring(3)", []),
        ("'abc'.indexOf('c')", [2]),
        ("'abc'.startsWith('ab') and 'abc'.endsWith('bc')", [True]),
        ("'abc'.upper() & 'ABC'.lower()", ["ABCabc"]),
        ("'a-b'.replace('-', '+')", ["a+b"]),
        ("'a1b2'.replaceMatches('[0-9]', '')", ["ab"]),
        ("'abc'.matches('b')", [True]),
        ("'abc'.matchesFull('b')", [False]),
        ("'abc'.length()", [3]),
        ("'ab'.toChars()", ["a", "b"]),
        ("'a,b'.split(',').join(';')", ["a;b"]),
        ("' a '.trim()", ["a"]),
        ("'1'.toInteger() + '2.5'.toDecimal()", [Decimal("3.5")]),
        ("'x'.toInteger()", []),
        ("'yes'.toBoolean()", [True]),
        ("'2'.convertsToBoolean()", [False]),
        ("1.50.toString()", ["1.50"]),
        ("'2020-02-30'.toDate()", []),
        ("'2020-02-29T00:00:00Z'.toDate()", ["2020-02-29"]),
        ("'4 days'.toQuantity() = 4 days", [True]),
        ("(1.5).ceiling() + (1.5).floor() + (-1.5).truncate()", [2]),
        ("(2.345).round(2)", [Decimal("2.35")]),
        ("(4).sqrt() + (2).power(3)", [Decimal(10)]),
        ("(0).ln()", []),
        ("(-3).abs()", [3]),
        ("(true | false).allTrue()", [False]),
        ("(true | false).anyTrue()", [True]),
        ("(false).allFalse() and (true | false).anyFalse()", [True]),
        ("name.given.single()", None),
        ("// a comment\nactive /* and another */", [True]),
        (r"'\u0041\'\\'", ["A'\\"]),
    ],
)  # fmt: skip
def test_means(expression: str, expected: list[Any] | None) -> None:
    compiled = fhirpath.compile(expression, "Patient")
    if expected is None:
        with pytest.raises(FhirPathError):
            compiled(PATIENT, {"now": _NOW})
        return

    assert compiled(PATIENT, {"now": _NOW}) == [value for value in expected if value is not None]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("value", [OBSERVATION["valueQuantity"]]),
        ("value.value", [Decimal("1.50")]),
        ("value.ofType(Quantity).unit", ["mg"]),
        ("value > 1 'mg'", [True]),
        ("value > 1 'g'", []),
        ("component.value.ofType(string)", ["s"]),
        ("component.where(value is Quantity).code.text", ["two"]),
        ("(component.value as Quantity).value", [3]),
        ("component.value is Quantity", None),
        ("status is System.String and status is code and status is string", [True]),
        ("valueQuantity", []),
    ],
)
def test_chooses_by_type(expression: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(FhirPathError):
            fhirpath.compile(expression)(OBSERVATION)
        return

    assert fhirpath.compile(expression)(OBSERVATION) == expected


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("", 0),
        ("name.", 5),
        ("name.where(", 11),
        ("name)", 4),
        ("a b", 2),
        ("1 +", 3),
        ("name[0", 6),
        ("'open", 0),
        ("name.unheardOf()", 5),
        ("name.memberOf('x')", 5),
        ("where()", 0),
        ("name.first(1)", 5),
        ("name is Foo", 5),
        ("name.ofType(1)", 5),
        ("name.ofType(Foo)", 5),
        ("a # b", 2),
        ("@20", 0),
        ("{ 1 }", 2),
    ],
)
def test_refuses_with_the_position(expression: str, position: int) -> None:
    with pytest.raises(FhirPathError) as caught:
        fhirpath.compile(expression)

    assert caught.value.position == position
    assert isinstance(caught.value, Fault)
    assert caught.value.kind is Kind.UNPROCESSABLE


@pytest.mark.parametrize("expression", ["(" * 1000 + "1" + ")" * 1000, "a." * 20_000 + "a", "not(" * 500])
def test_refuses_what_is_nested_or_long_beyond_sense(expression: str) -> None:
    with pytest.raises(FhirPathError):
        fhirpath.compile(expression)


def test_refuses_an_evaluation_without_end() -> None:
    nested = "name.given" + ".select(%resource.descendants().select(%resource.descendants()" * 4 + "))" * 4

    with pytest.raises(FhirPathError):
        fhirpath.compile(nested)({**PATIENT, "name": [{"given": ["x"] * 500}]})


def test_resolves_through_the_callable_that_is_given() -> None:
    doctor = {"resourceType": "Practitioner", "id": "1", "active": True}
    compiled = fhirpath.compile("generalPractitioner.where(resolve() is Practitioner).resolve().active")

    assert compiled(PATIENT, {"resolve": {"Practitioner/1": doctor}.get}) == [True]
    assert compiled(PATIENT, {"resolve": {"Practitioner/2": doctor}.get}) == []


def test_takes_variables_from_outside() -> None:
    compiled = fhirpath.compile("name.where(use = %wanted).given")

    assert compiled(PATIENT, {"wanted": "usual"}) == ["d", "a"]
    assert compiled(PATIENT) == []


def test_locates_what_it_finds() -> None:
    tree = copy.deepcopy(PATIENT)

    (node,) = fhirpath.compile("Patient.name.where(use='usual').given[1]").locate(tree)

    assert (node.value, node.type_name, node.key, node.index) == ("a", "string", "given", 1)
    assert node.parent is not None
    assert node.parent.value is tree["name"][1]


def test_walks_a_part_under_the_type_that_is_given() -> None:
    assert fhirpath.compile("value", "Observation.component")(OBSERVATION["component"][0]) == ["s"]
    assert fhirpath.compile("value", "HumanName")(OBSERVATION["component"][0]) == []


def test_knows_every_function_that_the_rules_of_r4_use() -> None:
    rules = [rule for each in definitions().values() for rule in each.rules]

    for rule in rules:
        fhirpath.compile(rule.expression)
    assert len(FUNCTIONS) > 70


@given(st.text(alphabet="ab.()[]'|=+- 1@T:%$`{}<>&,~!is", max_size=30))
def test_parser_raises_nothing_but_its_own_error(text: str) -> None:
    try:
        fhirpath.compile(text)(PATIENT)
    except FhirPathError:
        return


_PATHS = [
    "name",
    "name.given",
    "birthDate",
    "deceased",
    "active",
    "1",
    "'a'",
    "1.5",
    "{}",
    "@2020-01",
    "2 'mg'",
]
_TAILS = [f".{name}()" for name, entry in FUNCTIONS.items() if entry.least == 0] + [
    f".{name}({argument})"
    for name, entry in FUNCTIONS.items()
    if entry.most >= 1
    for argument in ("$this", "1", "'a'", "{}")
]
_SOURCES = st.builds(
    lambda start, tails, operator, other: f"{start}{''.join(tails)} {operator} {other}",
    st.sampled_from(_PATHS),
    st.lists(st.sampled_from(_TAILS), max_size=3),
    st.sampled_from(["+", "-", "*", "/", "div", "mod", "=", "~", "<", "and", "or", "in", "|", "&"]),
    st.sampled_from(_PATHS),
)


@given(_SOURCES, resources())
def test_running_raises_nothing_but_its_own_error(source: str, tree: dict[str, Any]) -> None:
    try:
        values = fhirpath.compile(source)(tree, {"now": _NOW})
    except FhirPathError:
        return

    assert isinstance(values, list)


_COMPARED = [
    "name.given.first()",
    "name.where(use = 'official').family",
    "name.family | name.use",
    "birthDate",
    "deceased is dateTime",
    "name.given.count() > 2",
    "name.select(use & '!')",
    "identifier.empty() and active",
    "name.all(use.exists())",
    "name.use.isDistinct()",
    "active implies deceased.exists()",
    "(1 | 2 | 2 | 3).count()",
    "7 div 2 + 7 mod 2",
    "'abc'.substring(1).upper()",
    "'abc'.contains('b') and 'abc'.matches('^a')",
    "iif(1 > 2, 'a', 'b')",
    "('a' | 'b').combine('a').count()",
    "name.use.tail()",
    "name.use.last()",
    "name.skip(1).use",
    "@2020-01-01 < @2020-01-02",
    "1.5.round(0) = 2",
    "'1'.toInteger() + 1",
    "'x' in name.use",
    "managingOrganization.reference",
    "birthDate.extension('http://x/time').value",
]


@pytest.mark.parametrize("expression", _COMPARED)
def test_a_second_engine_finds_the_same(expression: str) -> None:
    theirs = fhirpathpy.evaluate(PATIENT, expression, model=models["r4"])

    assert fhirpath.compile(expression)(PATIENT) == [
        str(value) if type(value).__module__.startswith("fhirpathpy") else value for value in theirs
    ]
