"""Narrative: what FHIR allows, and what must never reach a browser. https://hl7.org/fhir/R4/narrative.html"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.validation.narrative import narrative_problem

_DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'


@pytest.mark.parametrize(
    "inner",
    [
        "text",
        "<p>a<br/>b</p>",
        "<h1>x</h1><ul><li>y</li></ul>",
        '<a href="https://example.org">x</a>',
        '<a href="#part">x</a><a name="part">y</a>',
        '<a href="mailto:a@example.org">x</a>',
        '<img src="#picture" alt="x"/>',
        '<img src="data:image/png;base64,AA==" alt="x"/>',
        '<span style="font-weight: bold">x</span>',
        '<td style="background-image: url(tbl_bck1.png)">x</td>',
        '<td style="background-image: url(data:image/png;base64,AA==)">x</td>',
        '<table class="grid"><tr><td rowspan="2">x</td></tr></table>',
        "&#160;x &lt;script&gt; &amp;",
        "<!-- a comment -->x",
        '<p xml:lang="zh" lang="zh">王</p>',
        "<b><i>x</i></b>" * 2000,
    ],
)
def test_accepts(inner: str) -> None:
    assert narrative_problem(_DIV % inner) is None


@pytest.mark.parametrize(
    "inner",
    [
        "<script>x</script>",
        "<style>p{}</style>x",
        '<iframe src="x"/>x',
        '<object data="x"/>x',
        "<form><input/></form>x",
        '<link href="x"/>x',
        '<base href="x"/>x',
        "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>x",
        '<p onclick="x">x</p>',
        '<p ONCLICK="x">x</p>',
        '<img src="x" onerror="x"/>',
        '<a href="javascript:x">x</a>',
        '<a href=" JaVaScRiPt:x">x</a>',
        '<a href="java&#10;script:x">x</a>',
        '<a href="&#x200b;javascript:x">x</a>',
        '<a href="vbscript:x">x</a>',
        '<a href="data:text/html,x">x</a>',
        '<img src="data:image/svg+xml,x" alt="x"/>',
        '<p style="width: expression(x)">x</p>',
        '<p style="background: url( data:text/html,x)">x</p>',
        "<p style='background: url(\"chrome:x\")'>x</p>",
        '<p style="@import x">x</p>',
        '<p style="w\\69 dth: 1">x</p>',
        '<p style="exp/**/ression(x)">x</p>',
        "<?php x?>x",
        "<p>x",
        "x</div><div>",
        "&nbsp;",
        "&undefined;",
        "\x01",
        "",
        " <p/> &#160;",
        "<div>" * 300 + "x" + "</div>" * 300,
    ],
)
def test_refuses(inner: str) -> None:
    assert narrative_problem(_DIV % inner) is not None


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0" encoding="utf-7"?>' + _DIV % "x",
        '<!DOCTYPE div SYSTEM "file:///etc/hostname">' + _DIV % "x",
        '<!DOCTYPE div [<!ENTITY a "b">]>' + _DIV % "&a;",
        '<p xmlns="http://www.w3.org/1999/xhtml">x</p>',
        "<div>x</div>",
        "<divx/>",
        _DIV % "x" + _DIV % "y",
        _DIV % ("x" * 1048576),
        _DIV % "\ud800",
        "",
        5,
        None,
    ],
    ids=lambda text: repr(text)[:40],
)
def test_refuses_what_is_not_one_div_of_xhtml(text: object) -> None:
    assert narrative_problem(text) is not None


@given(st.text(alphabet='<>/div p"=&;#x1\x00\ud800', max_size=60))
def test_never_raises(text: str) -> None:
    narrative_problem(text)
    narrative_problem(_DIV % text)
