"""What must add up in a settlement (结算) and in its fee lines; checked with exact decimals on every message.

An equation is checked when all of its parts are there; amounts that are left out count as zero only where the
specification makes them optional. A violation is an issue with its numbers; the message is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mappings.engine.model import Issue, Message

FUNDS = (
    "hifp_pay",
    "cvlserv_pay",
    "hifes_pay",
    "hifmi_pay",
    "hifob_pay",
    "maf_pay",
    "oth_pay",
    "hifdm_pay",
    "othfund_pay",
    "pref_fund_pay",
)
"""The funds whose payments make fund_pay_sumamt; a region's own (othfund_pay) counts where it is sent."""

_PARTS = ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt")
_LINE_PARTS = ("fulamt_ownpay_amt", "overlmt_amt", "preselfpay_amt", "inscp_scp_amt")
_LINE_BLOCKS = ("result", "detlcutinfo")
_ACCOUNTS = ("3102", "3902")
_HOSPITAL = ("999996", "999997")
_MOST = Decimal(10) ** 14


def check(message: Message) -> Iterator[Issue]:
    """Yield an issue for every sum of a message that does not hold."""
    info = message.tree.get("setlinfo")
    if isinstance(info, Mapping) and message.direction == "response":
        yield from _settlement(info, message.tree.get("setldetail"), f"{message.where} setlinfo")
    data = message.tree.get("data")
    if isinstance(data, Mapping) and message.direction == "request":
        yield from _sum(data, "medfee_sumamt", _PARTS, f"{message.where} data")
    for name in _LINE_BLOCKS:
        rows = message.tree.get(name)
        for number, row in enumerate(rows if isinstance(rows, list) else ()):
            yield from _sum(row, "det_item_fee_sumamt", _LINE_PARTS, f"{message.where} {name}[{number}]")


def _settlement(info: Mapping[str, Any], details: Any, where: str) -> Iterator[Issue]:
    yield from _sum(info, "medfee_sumamt", _PARTS, where)
    # Reversals (2208, 2305) leave psn_part_amt and hosp_part_amt out; older platforms name them otherwise.
    cash = _first(info, "psn_cash_pay", "pdn_cash_pay", "cashPayamt", "cash_payamt")
    account = _first(info, "acct_pay")
    person = _first(info, "psn_part_amt", "psn_pay")
    if person is not None and account is not None and cash is not None:
        yield from _equal(person, {"acct_pay": account, "psn_cash_pay": cash}, "psn_part_amt", where)
    elif account is not None and cash is not None:
        person = account + cash
    hospital = _first(info, "hosp_part_amt", "ownpay_hosp_part") or Decimal(0)
    total, fund = _first(info, "medfee_sumamt"), _first(info, "fund_pay_sumamt")
    if total is not None and fund is not None and person is not None:
        parts = {"fund_pay_sumamt": fund, "psn_part_amt": person, "hosp_part_amt": hospital}
        yield from _equal(total, parts, "medfee_sumamt", where)
    funds = {name: amount for name in FUNDS if (amount := _first(info, name)) is not None}
    if fund is not None and funds:
        yield from _equal(fund, funds, "fund_pay_sumamt", where)
    if fund is not None and isinstance(details, list) and details:
        yield from _details(details, fund, account or Decimal(0), hospital, where)


def _details(
    rows: list[Any], fund: Decimal, account: Decimal, hospital: Decimal, where: str
) -> Iterator[Issue]:
    """Check setldetail, which lists the personal account and the hospital's share beside the funds."""
    paid = {"fund": Decimal(0), "account": Decimal(0), "hospital": Decimal(0)}
    for row in rows:
        amount, kind = _first(row, "fund_payamt"), str(row.get("fund_pay_type", ""))
        if amount is None:
            return
        share = "hospital" if kind in _HOSPITAL else "account" if kind.startswith(_ACCOUNTS) else "fund"
        paid[share] += amount
    # What pays nothing may be left out of the list, and so may what is no fund: what is listed counts.
    listed = sum(paid.values())
    due = fund + (account if paid["account"] else 0) + (hospital if paid["hospital"] else 0)
    if listed != due:
        sentence = (
            f"The amounts of setldetail make {listed}; fund_pay_sumamt {fund}, acct_pay {account} and "
            f"hosp_part_amt {hospital} make {fund + account + hospital}."
        )
        yield Issue("warning", "business-rule", where, sentence)


def _sum(row: Mapping[str, Any], total: str, parts: tuple[str, ...], where: str) -> Iterator[Issue]:
    amounts = {name: _first(row, name) for name in parts}
    whole = _first(row, total)
    if whole is not None and all(amount is not None for amount in amounts.values()):
        yield from _equal(
            whole, {name: amount for name, amount in amounts.items() if amount is not None}, total, where
        )


def _equal(whole: Decimal, parts: Mapping[str, Decimal], name: str, where: str) -> Iterator[Issue]:
    made = sum(parts.values(), Decimal(0))
    if made != whole:
        spelled = " + ".join(f"{part} {amount}" for part, amount in parts.items())
        sentence = f"{name} is {whole}, but {spelled} = {made} (difference {whole - made})."
        yield Issue("warning", "business-rule", where, sentence)


def _first(row: Mapping[str, Any], *names: str) -> Decimal | None:
    """Return the first of several fields that holds a number; None for one that is too long for an amount.

    The specification gives amounts sixteen digits, two of them after the point. A longer number stands in the
    wrong field, an identity card number perhaps, and is not told with a sum.
    """
    for name in names:
        value = row.get(name)
        if value is not None:
            try:
                amount = Decimal(value)
            except InvalidOperation:
                return None
            return amount if amount.is_finite() and abs(amount) < _MOST else None
    return None
