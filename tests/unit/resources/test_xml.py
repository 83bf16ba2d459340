"""XML: the same tree as JSON gives, both ways, and nothing read that could reach out or blow up."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from fhir_server.faults import Fault, Kind
from fhir_server.resources.codec import encode
from fhir_server.resources.types import RESOURCE_TYPES
from fhir_server.resources.xml import decode_xml, encode_xml
from tests.strategies import resources

FHIR = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def spelled(value: Any) -> Any:
    """Give each leaf its type and spelling: 1.10 and 1.1 differ, 1 and true too; order does not count."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled(item) for item in value]
    return type(value).__name__, str(value)


def patient(inner: str) -> bytes:
    return f"<Patient {FHIR}>{inner}</Patient>".encode()


def refused(body: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        decode_xml(body)
    assert caught.value.kind is Kind.SYNTAX
    return caught.value


@pytest.mark.parametrize("type_", sorted(RESOURCE_TYPES))
def test_every_type_survives_the_way_to_xml_and_back(type_: str) -> None:
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(resources(type_))
    def survives(tree: dict[str, Any]) -> None:
        assert spelled(decode_xml(encode_xml(tree))) == spelled(tree)

    survives()


@settings(max_examples=60, deadline=None)
@given(resources())
def test_pretty_xml_means_the_same_and_is_well_formed(tree: dict[str, Any]) -> None:
    made = encode_xml(tree, pretty=True)

    assert spelled(decode_xml(made)) == spelled(tree)
    assert etree.fromstring(made).tag == f"{{http://hl7.org/fhir}}{tree['resourceType']}"


def test_reads_primitives_by_their_types() -> None:
    tree = decode_xml(
        f'<Observation {FHIR}><status value="final"/><valueQuantity><value value="1.10"/></valueQuantity>'
        '<component><code/><valueBoolean value="true"/></component><component><code/>'
        '<valueInteger value="-7"/></component><component><code/><valueQuantity><value value="1e2"/>'
        "</valueQuantity></component>"
        '<component><code/><valueString value="7"/></component></Observation>'.encode()
    )

    assert spelled(tree["valueQuantity"]["value"]) == ("Decimal", "1.10")
    assert [spelled(list(each.values())[1]) for each in tree["component"]] == [
        ("bool", "True"),
        ("int", "-7"),
        {"value": ("Decimal", "1E+2")},
        ("str", "7"),
    ]


def test_reads_ids_and_extensions_of_primitives_into_the_underscore_property() -> None:
    tree = decode_xml(
        patient(
            '<name><given value="A"/><given id="g"/><given value="C"><extension url="u">'
            '<valueCode value="c"/></extension></given></name><birthDate id="b" value="2000"/>'
        )
    )

    assert tree == {
        "resourceType": "Patient",
        "name": [
            {
                "given": ["A", None, "C"],
                "_given": [None, {"id": "g"}, {"extension": [{"url": "u", "valueCode": "c"}]}],
            }
        ],
        "birthDate": "2000",
        "_birthDate": {"id": "b"},
    }


def test_reads_contained_resources_and_bundle_entries() -> None:
    tree = decode_xml(
        f'<Bundle {FHIR}><type value="collection"/><entry><resource><Patient><contained><Basic>'
        '<id value="b"/><code/></Basic></contained><active value="false"/></Patient></resource>'
        "</entry></Bundle>".encode()
    )

    assert tree["entry"] == [
        {
            "resource": {
                "resourceType": "Patient",
                "contained": [{"resourceType": "Basic", "id": "b", "code": {}}],
                "active": False,
            }
        }
    ]


@pytest.mark.parametrize(
    "div",
    [
        f"{DIV}<p class='a'>x &lt; y &#160; &#x738b; <br/><br /><b></b></p></div>",
        f"{DIV}<!-- kept --><![CDATA[a < b]]></div>",
        f"{DIV}a\n  b</div>",
        '<div lang="zh" title="a > b" xmlns="http://www.w3.org/1999/xhtml">王</div>',
    ],
)
def test_narrative_stays_as_written_both_ways(div: str) -> None:
    tree = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}

    made = encode_xml(tree)

    assert div in made.decode()
    assert decode_xml(made) == tree


def test_narrative_with_a_prefix_becomes_plain_xhtml() -> None:
    body = (
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><f:text>'
        '<f:status value="generated"/><h:div class="a&quot;b">x &amp; <h:br/>y</h:div></f:text></f:Patient>'
    )

    assert decode_xml(body.encode())["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml" class="a&quot;b">x &amp; <br></br>y</div>'
    )


def test_narrative_without_a_namespace_gets_one() -> None:
    made = encode_xml({"resourceType": "Patient", "text": {"div": "<div><p>x</p></div>"}})

    assert f"{DIV}<p>x</p></div>".encode() in made


def test_line_ends_in_narrative_are_those_of_xml() -> None:
    assert decode_xml(patient(f"<text>{DIV}a\r\nb\rc</div></text>"))["text"]["div"] == f"{DIV}a\nb\nc</div>"


def test_keeps_line_feeds_and_tabs_in_values() -> None:
    tree = {"resourceType": "Patient", "name": [{"text": 'a\n\r\t"<&>'}]}

    assert decode_xml(encode_xml(tree)) == tree


def test_ignores_comments_instructions_and_the_schema_location() -> None:
    body = (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><!-- a --><?b c?><Patient {FHIR} '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x">'
        '<!-- c --><active value="true"><!-- d --></active></Patient>'
    )

    assert decode_xml(body.encode()) == {"resourceType": "Patient", "active": True}


def test_takes_known_elements_in_any_order() -> None:
    assert decode_xml(patient('<active value="true"/><id value="1"/>')) == {
        "resourceType": "Patient",
        "active": True,
        "id": "1",
    }


def test_leaves_values_of_the_wrong_type_to_validation() -> None:
    assert decode_xml(patient('<active value="yes"/><multipleBirthInteger value="1.5x"/>')) == {
        "resourceType": "Patient",
        "active": "yes",
        "multipleBirthInteger": "1.5x",
    }


@pytest.mark.parametrize(
    ("inner", "word", "where"),
    [
        ("<surname/>", "no element 'surname'", "Patient"),
        ('<name><given value="A"/></name><name><surname value="B"/></name>', "'surname'", "Patient.name[1]"),
        ('<name given="A"/>', "no attribute 'given'", "Patient.name[0]"),
        ('<active value="true" x="1"/>', "no attribute 'x'", "Patient.active"),
        ('<active value="true"/><active value="true"/>', "may occur once", "Patient.active"),
        ('<name/><active value="true"/><name/>', "stand together", "Patient.name"),
        ("<active>true</active>", "Text stands here", "Patient.active"),
        ("<active/>", "needs a value", "Patient.active"),
        ('<name><id value="1"/></name>', "no element 'id'", "Patient.name[0]"),
        ('<extension url="u"><url value="v"/></extension>', "no element 'url'", "Patient.extension[0]"),
        ("<contained/>", "exactly one resource", "Patient.contained[0]"),
        ("<contained><Basic/><Basic/></contained>", "exactly one resource", "Patient.contained[0]"),
        ("<text><div>x</div></text>", "no element 'div'", "Patient.text"),
        ('<name xmlns="urn:other"/>', "in this namespace", "Patient"),
        (f"<name>{DIV}x</div></name>", "no element 'div'", "Patient.name[0]"),
        (f'<multipleBirthInteger value="{"1" * 1001}"/>', "too long", "Patient.multipleBirthInteger"),
    ],
)
def test_refuses_and_says_where(inner: str, word: str, where: str) -> None:
    fault = refused(patient(inner))

    assert word in fault.diagnostics
    assert fault.issues[0].expression == (where,)


@pytest.mark.parametrize("text", ["1e1001", "1e-1001", "1e99999999999999999999", "1" * 900 + "e900"])
def test_refuses_a_number_too_large_to_compute_with(text: str) -> None:
    body = f'<Basic {FHIR}><extension url="u"><valueDecimal value="{text}"/></extension></Basic>'

    assert "too large" in refused(body.encode()).diagnostics


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<Patient", "not well-formed"),
        (b"<!-- only -->", "not well-formed"),
        (b'{"resourceType":"Patient"}', "not well-formed"),
        (b"<Patient/>", "namespace"),
        (b'<Patient xmlns="http://hl7.org/v3"/>', "namespace"),
        (b'<Person2 xmlns="http://hl7.org/fhir"/>', "no resource type"),
        (b'<div xmlns="http://www.w3.org/1999/xhtml"/>', "namespace"),
        (patient('<active value="\xe9"/>').decode().encode("latin-1"), "UTF-8"),
        (patient("").decode().encode("utf-16"), "UTF-8"),
        (b"<?xml version='1.0' encoding='gb18030'?>" + patient(""), "UTF-8"),
        (patient('<active value="&nbsp;"/>'), "undefined entity"),
        (patient('<active value="&#0;"/>'), "not well-formed"),
        (patient('<active value="true" value="true"/>'), "duplicate attribute"),
    ],
)
def test_refuses_what_is_no_fhir_xml(body: bytes, word: str) -> None:
    assert word in refused(body).diagnostics


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE Patient>",
        '<!DOCTYPE Patient SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        f'<!DOCTYPE Patient [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE Patient [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>',
    ],
)
def test_refuses_every_document_type(doctype: str) -> None:
    assert "DOCTYPE" in refused(doctype.encode() + patient('<active value="&l9;"/>')).diagnostics


def test_refuses_deep_nesting_and_takes_what_json_takes() -> None:
    def nested(levels: int) -> bytes:
        opening, closing = '<extension url="u">' * levels, "</extension>" * levels
        return f"<Basic {FHIR}>{opening}{closing}</Basic>".encode()

    assert decode_xml(nested(4), max_depth=9)
    with pytest.raises(Fault, match="deep"):
        decode_xml(nested(5), max_depth=9)
    assert "deep" in refused(nested(100_000)).diagnostics


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({}, "Resource"),
        ({"resourceType": "Nothing"}, "Resource"),
        ({"resourceType": "Patient", "surname": "x"}, "Patient"),
        ({"resourceType": "Patient", "name": [{"text": "a\x01"}]}, "Patient.name[0].text"),
        ({"resourceType": "Patient", "name": [{"given": [None]}]}, "Patient.name[0].given[0]"),
        ({"resourceType": "Patient", "name": ["x"]}, "Patient.name[0]"),
        ({"resourceType": "Patient", "active": {}}, "Patient.active"),
        ({"resourceType": "Patient", "_active": "x"}, "Patient.active"),
        ({"resourceType": "Patient", "contained": [{"id": "1"}]}, "Patient.contained[0]"),
        ({"resourceType": "Patient", "text": {"div": f"{DIV}</div><x/>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": f"<!DOCTYPE div>{DIV}</div>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": f"{DIV}&nbsp;</div>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": "x"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": "<divx/>"}}, "Patient.text.div"),
        ({"resourceType": "Patient", "text": {"div": 1}}, "Patient.text.div"),
    ],
)
def test_never_writes_what_xml_cannot_hold(tree: dict[str, Any], where: str) -> None:
    with pytest.raises(Fault) as caught:
        encode_xml(tree)

    assert caught.value.kind is Kind.NOT_ACCEPTABLE
    assert caught.value.issues[0].expression == (where,)


def test_writes_elements_in_the_order_of_the_definitions() -> None:
    made = encode_xml({"resourceType": "Patient", "birthDate": "2000", "name": [{"family": "王"}], "id": "1"})

    assert made.decode() == (
        f'<?xml version="1.0" encoding="UTF-8"?><Patient {FHIR}><id value="1"/><name><family value="王"/>'
        '</name><birthDate value="2000"/></Patient>'
    )


@given(st.text("<>/&; \"'=!-[]ab:Patient", max_size=60) | st.text())
def test_any_text_gives_a_tree_or_a_fault(text: str) -> None:
    for body in (text.encode("utf-8", "surrogatepass"), patient(text.encode("utf-8", "replace").decode())):
        with suppress(Fault):
            tree = decode_xml(body)
            assert tree["resourceType"] in RESOURCE_TYPES
            assert encode(tree)


def test_decimals_of_json_keep_their_digits_in_xml() -> None:
    tree = {"resourceType": "Basic", "extension": [{"url": "u", "valueDecimal": Decimal("500.00")}]}

    assert b'<valueDecimal value="500.00"/>' in encode_xml(tree)
