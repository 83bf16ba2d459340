"""Search fields of a document: every value of a resource in its field, each once, and nothing readable."""

from __future__ import annotations

from typing import Any

import bson
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.crypto.blind import BlindIndex
from fhir_server.crypto.suites import SUITES
from fhir_server.search.fold import fold
from fhir_server.search.values import Values
from fhir_server.store.mongo.documents import ARRAYS, INSTANTS, fields, nothing, patients
from fhir_server.store.mongo.keys import Keys, parameter, strings_from
from fhir_server.store.mongo.places import SEVERAL, compartment
from fhir_server.store.mongo.prepared import AT_MOST

BLIND = BlindIndex(SUITES["standard"].digest(b"k" * 32))
KEYS = Keys(BLIND)

WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N")), max_size=8)
CODES = st.sampled_from(["one", "two", "three"])
MOMENTS = st.integers(-(10**14), 10**14)
SPANS = st.tuples(CODES, MOMENTS, MOMENTS).map(lambda row: (row[0], *sorted(row[1:])))


@st.composite
def values(draw: Any) -> Values:
    made = Values()
    made.tokens = draw(st.lists(st.tuples(CODES, WORDS, WORDS), max_size=4))
    made.strings = draw(st.lists(st.tuples(CODES, WORDS), max_size=4))
    made.dates = draw(st.lists(SPANS, max_size=4))
    made.references = draw(st.lists(st.tuples(CODES, WORDS.map("Patient/{}".format)), max_size=4))
    made.uris = draw(st.lists(st.tuples(CODES, WORDS), max_size=2))
    made.patients = tuple(draw(st.lists(WORDS, max_size=3, unique=True)))
    return made


def made_of(values: Values, clinical: str | None = "one") -> dict[str, Any]:
    return fields("Observation", values, KEYS, clinical)


def test_has_the_same_fields_whatever_there_is() -> None:
    full = Values()
    full.tokens = [("one", "s", "c")]

    assert made_of(full).keys() == made_of(Values()).keys() == nothing().keys() == {*ARRAYS, *INSTANTS}
    assert made_of(Values()) == nothing()


@given(values())
def test_every_value_is_found_by_its_keys(made: Values) -> None:
    document = made_of(made)
    of = {code: parameter("Observation", code) for code in ("one", "two", "three")}

    for code, system, token in made.tokens:
        p = of[code]
        assert {KEYS.token(p, system, token), KEYS.code(p, token), KEYS.system(p, system)} <= {*document["k"]}
    for code, uri in made.uris:
        assert KEYS.uri(of[code], uri) in document["k"]
    for code, text in made.strings:
        assert KEYS.text(of[code], text) in document["k"]
        low, high = strings_from(of[code], BLIND.prefix(fold(text)[:3]))
        assert any(low <= key < high for key in document["s"])
    for code, target in made.references:
        digest = BLIND.target(target)
        assert KEYS.reference(of[code], digest) in document["f"]
        assert {"p": of[code], "k": digest} in document["r"]
        assert digest in document["o"]
    for code, lo, hi in made.dates:
        assert {"p": of[code], "a": lo, "b": hi} in document["i"]


@given(values())
def test_a_parameter_is_present_if_it_has_a_value_and_only_then(made: Values) -> None:
    rows = (*made.tokens, *made.strings, *made.dates, *made.references, *made.uris)
    having = {row[0] for row in rows}
    document = made_of(made)

    for code in ("one", "two", "three"):
        assert (KEYS.present(parameter("Observation", code)) in document["k"]) == (code in having)


@given(values())
def test_arrays_are_in_order_and_hold_nothing_twice(made: Values) -> None:
    document = made_of(made)

    for name in ("k", "f", "o", "s"):
        assert document[name] == sorted(set(document[name]))
    for name in ("i", "q", "r"):
        rows = [tuple(row.items()) for row in document[name]]
        assert len(rows) == len(set(rows))


@given(values())
def test_a_document_comes_back_from_bson_as_it_was(made: Values) -> None:
    document = made_of(made)

    assert bson.decode(bson.encode(document)) == document


def test_says_where_its_dates_begin() -> None:
    made = Values()
    made.dates = [("one", 5, 9), ("one", 3, 20), ("two", 1, 1), ("_lastUpdated", 7, 8)]
    document = made_of(made)

    assert [document[name] for name in INSTANTS] == [3, 5, 7, 7]
    assert [made_of(made, None)[name] for name in INSTANTS] == [None, None, 7, 7]


def test_a_quantity_is_found_by_its_code_and_by_its_unit() -> None:
    made = Values()
    made.quantities = [
        ("one", "http://ucum", "mm[Hg]", "mmHg", 1.0, 2.0),
        ("two", "", "", "beats", 3.0, 3.0),
    ]
    rows = made_of(made)["q"]

    assert {row["u"] for row in rows if row["a"] == 1.0} == {BLIND.unit("mm[Hg]"), BLIND.unit("mmHg")}
    assert [(row["u"], row["s"]) for row in rows if row["a"] == 3.0] == [
        (BLIND.unit("beats"), BLIND.system(""))
    ]


def test_a_position_is_found_by_its_cells_and_a_word_by_itself() -> None:
    made = Values()
    made.positions = [("one", 31.2, 121.5)]
    made.words = [("two", "cough")]
    document = made_of(made)
    p, q = parameter("Observation", "one"), parameter("Observation", "two")

    assert KEYS.cell(p, (0, 1, 3)) in document["k"]
    assert KEYS.word(q, "cough") in document["k"]
    assert KEYS.word(p, "cough") not in document["k"]


def test_lies_with_its_patient_when_there_is_one_only() -> None:
    made = Values()
    own, patient = 5, BLIND.target("Patient/p")

    made.patients = ("p",)
    assert compartment("Observation", own, patients(made, KEYS)) == patient
    assert compartment("Patient", own, patients(made, KEYS)) == own
    made.patients = ()
    assert compartment("Observation", own, patients(made, KEYS)) == own
    made.patients = ("p", "q")
    assert compartment("Observation", own, patients(made, KEYS)) == SEVERAL
    assert compartment("Patient", own, patients(made, KEYS)) == own


def test_no_field_holds_a_value_that_can_be_read() -> None:
    made = Values()
    made.tokens = [("one", "http://secret", "secret")]
    made.strings = [("two", "secret words")]
    made.references = [("three", "Patient/secret")]
    made.uris = [("one", "urn:secret")]
    made.words = [("one", "secret")]
    made.quantities = [("one", "http://secret", "secret", "secret", 1.0, 1.0)]
    made.patients = ("secret",)

    assert b"secret" not in bson.encode(made_of(made))


@given(values())
def test_no_entry_of_an_array_takes_more_room_than_is_reckoned_with(made: Values) -> None:
    for long in (made, _longest()):
        document = made_of(long)
        for name, most in AT_MOST.items():
            assert len(bson.encode({name: document[name]})) <= most * len(document[name]) + 20


def _longest() -> Values:
    made = Values()
    made.strings = [("one", "字" * 80)]
    made.quantities = [("one", "http://unitsofmeasure.org", "mm[Hg]", "mmHg", 1.0, 2.0)]
    text = (("string", "字" * 80),)
    code = (("token", "s", "c"),)
    made.composites = [("two", (code, text, text))]
    made.patients = ("p",)
    return made
