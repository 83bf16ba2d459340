"""What must add up in a settlement: each sum holds, and each broken one is told with its numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.engine.model import Issue, Message
from mappings.nhsa.invariants import check

AMOUNTS = st.integers(0, 10**9).map(lambda cents: Decimal(cents).scaleb(-2))
Info = dict[str, Any]

# The figures are those of a stay: 23442.46 in all, most of it paid by the large-amount fund.
INFO = {
    "medfee_sumamt": "23442.46",
    "fulamt_ownpay_amt": "2533.97",
    "overlmt_selfpay": "1396.89",
    "preselfpay_amt": "703.44",
    "inscp_scp_amt": "18808.16",
    "hifp_pay": "0",
    "hifob_pay": "18785.39",
    "fund_pay_sumamt": "18785.39",
    "psn_part_amt": "4152.06",
    "acct_pay": "170.04",
    "psn_cash_pay": "3982.02",
    "hosp_part_amt": "505.01",
}
DETAIL = [
    {"fund_pay_type": "330101", "fund_payamt": "18785.39"},
    {"fund_pay_type": "999996", "fund_payamt": "505.01"},
    {"fund_pay_type": "310201", "fund_payamt": "170.04"},
]


def found(info: Info, detail: list[Info] | None = None) -> list[Issue]:
    tree = {"setlinfo": info, "setldetail": DETAIL if detail is None else detail}
    return list(check(Message("2304", tree, where="file", direction="response")))


def test_says_nothing_of_a_settlement_that_adds_up() -> None:
    assert found(INFO) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("inscp_scp_amt", "18808.17", ["medfee_sumamt is 23442.46", "= 23442.47", "difference -0.01"]),
        ("hosp_part_amt", "0", ["medfee_sumamt is 23442.46", "= 22937.45"]),
        ("psn_cash_pay", "3982.03", ["psn_part_amt is 4152.06", "= 4152.09"[:6]]),
        ("hifp_pay", "1", ["fund_pay_sumamt is 18785.39", "= 18786.39"]),
    ],
)
def test_tells_each_sum_that_does_not_hold_with_its_numbers(field: str, value: str, words: list[str]) -> None:
    issues = found({**INFO, field: value})

    assert issues[0].severity == "warning"
    assert issues[0].code == "business-rule"
    assert issues[0].where == "file setlinfo"
    for word in words:
        assert any(word in issue.sentence for issue in issues)


def test_tells_details_that_do_not_make_the_payments() -> None:
    [issue] = found(INFO, [*DETAIL[:2], {"fund_pay_type": "310201", "fund_payamt": "170.05"}])

    assert "make 19460.45" in issue.sentence


def test_lets_details_leave_out_the_account_and_the_hospital() -> None:
    assert found(INFO, DETAIL[:1]) == []


def test_a_reversal_leaves_out_what_the_person_and_the_hospital_bore() -> None:
    negated = {
        name: str(-Decimal(value))
        for name, value in INFO.items()
        if name not in {"psn_part_amt", "hosp_part_amt"}
    }
    details = [{**row, "fund_payamt": str(-Decimal(row["fund_payamt"]))} for row in DETAIL]

    assert found({**negated, "ownpay_hosp_part": "-505.01", "psn_pay": "-4152.06"}, details) == []
    assert found({**negated, "ownpay_hosp_part": "-505.00"}, details) != []


def test_checks_nothing_that_lacks_parts_or_is_no_number() -> None:
    assert found({"medfee_sumamt": "1", "fulamt_ownpay_amt": "5"}, []) == []
    assert found({**INFO, "psn_cash_pay": "no number"}) == []


def test_checks_fee_lines_and_requests() -> None:
    line = {
        "det_item_fee_sumamt": "10",
        "fulamt_ownpay_amt": "0",
        "overlmt_amt": "1",
        "preselfpay_amt": "2",
        "inscp_scp_amt": "7",
    }
    bad = {**line, "inscp_scp_amt": "8"}
    answer = Message("2204", {"result": [line, bad]}, where="f", direction="response")
    asked = Message("2207", {"data": {**INFO, "medfee_sumamt": "1"}}, where="f", direction="request")

    assert [issue.where for issue in check(answer)] == ["f result[1]"]
    assert [issue.where for issue in check(asked)] == ["f data"]


@given(
    *[AMOUNTS] * 7, st.sampled_from(["medfee_sumamt", "fund_pay_sumamt", "psn_part_amt"]), st.integers(1, 99)
)
def test_one_cent_more_anywhere_is_seen(  # noqa: PLR0917 - seven amounts and what is done to one of them
    own: Decimal,
    over: Decimal,
    first: Decimal,
    fund: Decimal,
    account: Decimal,
    cash: Decimal,
    hospital: Decimal,
    field: str,
    cents: int,
) -> None:
    total = fund + account + cash + hospital
    info = {
        "fulamt_ownpay_amt": own,
        "overlmt_selfpay": over,
        "preselfpay_amt": first,
        "inscp_scp_amt": total - own - over - first,
        "medfee_sumamt": total,
        "hifp_pay": fund,
        "fund_pay_sumamt": fund,
        "acct_pay": account,
        "psn_cash_pay": cash,
        "psn_part_amt": account + cash,
        "hosp_part_amt": hospital,
    }
    detail = [{"fund_pay_type": "310100", "fund_payamt": str(fund)}]
    texts = {name: str(amount) for name, amount in info.items()}

    assert found(texts, detail) == []
    assert found({**texts, field: str(info[field] + Decimal(cents).scaleb(-2))}, detail) != []


@pytest.mark.parametrize("name", ["hosp_part_amt", "medfee_sumamt", "acct_pay", "fund_pay_sumamt"])
def test_a_number_too_long_for_an_amount_is_told_by_no_sum(name: str) -> None:
    told = [issue.sentence for issue in found({**INFO, name: "990000197001010017"}, DETAIL)]

    assert not any("990000197001010017" in sentence for sentence in told)
