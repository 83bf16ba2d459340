"""Claims and explanations of benefit: what was asked for, and who paid - fund, personal account, cash.

The sums always meet: submitted = benefit + memberliability, memberliability = account + cash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fhir_server.demo.codes import (
    ADJUDICATION,
    C4BB_ADJUDICATION,
    FUND,
    SERVICE,
    SETTLEMENT_NUMBER,
    VISIT_NUMBER,
    concept,
    identifier,
    yuan,
)
from fhir_server.demo.entries import Entries, Tree
from fhir_server.demo.insured import Insured

_CENT = Decimal("0.01")
_CLAIM_TYPE = "http://terminology.hl7.org/CodeSystem/claim-type"
_ACCOUNT_LIMIT = Decimal(300)
"""Most that one settlement takes from a personal account, in yuan."""


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a bill: code and name of the service, how many, price of one in yuan.

    ``share``: the patient's share where a rule differs from the scheme's, e.g. 0.30 for a CT.
    """

    code: str
    text: str
    count: int
    price: Decimal
    share: Decimal | None = None

    @property
    def net(self) -> Decimal:
        """Count times price."""
        return (self.price * self.count).quantize(_CENT)


@dataclass(frozen=True, slots=True)
class Visit:
    """What a bill is for: an encounter with its number, diagnoses, place and time."""

    number: str
    encounter: Tree
    conditions: tuple[Tree, ...]
    hospital: Tree
    insurer: Tree
    start: datetime
    end: datetime
    inpatient: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """How a sum is paid, in yuan."""

    submitted: Decimal
    fund: Decimal
    account: Decimal
    cash: Decimal


def split(lines: Sequence[Line], insured: Insured) -> Split:
    """Divide a bill into fund, personal account and cash."""
    submitted = sum((line.net for line in lines), Decimal(0))
    member = sum((_share(line, insured) for line in lines), Decimal(0))
    account = min(member, _ACCOUNT_LIMIT) if insured.scheme.account else Decimal(0)
    return Split(submitted, submitted - member, account, member - account)


def _share(line: Line, insured: Insured) -> Decimal:
    share = insured.scheme.share if line.share is None else line.share
    return (line.net * share).quantize(_CENT)


def bill(entries: Entries, insured: Insured, visit: Visit, lines: Sequence[Line]) -> None:
    """Add a Claim and the ExplanationOfBenefit that settles it.

    https://hl7.org/fhir/R4/claim.html and https://hl7.org/fhir/R4/explanationofbenefit.html
    """
    kind = ("institutional", "Institutional") if visit.inpatient else ("professional", "Professional")
    common: Tree = {
        "status": "active",
        "type": concept(_CLAIM_TYPE, *kind),
        "use": "claim",
        "patient": insured.patient,
        "billablePeriod": {"start": visit.start.isoformat(), "end": visit.end.isoformat()},
        "created": visit.end.isoformat(),
        "insurer": visit.insurer,
        "provider": visit.hospital,
    }
    diagnoses = [
        {"sequence": number, "diagnosisReference": condition}
        for number, condition in enumerate(visit.conditions, 1)
    ]
    claim = entries.add(
        {
            "resourceType": "Claim",
            "identifier": [identifier(VISIT_NUMBER, f"C-{visit.number}")],
            **common,
            "priority": concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal", "Normal"),
            "diagnosis": diagnoses,
            "insurance": [{"sequence": 1, "focal": True, "coverage": insured.coverage}],
            "item": [_item(number, line, visit) for number, line in enumerate(lines, 1)],
            "total": yuan(sum((line.net for line in lines), Decimal(0))),
        }
    )
    paid = split(lines, insured)
    entries.add(
        {
            "resourceType": "ExplanationOfBenefit",
            "identifier": [identifier(SETTLEMENT_NUMBER, f"S-{visit.number}")],
            **common,
            "claim": claim,
            "outcome": "complete",
            "diagnosis": diagnoses,
            "insurance": [{"focal": True, "coverage": insured.coverage}],
            "item": [
                {**_item(number, line, visit), "adjudication": _adjudication(line, insured)}
                for number, line in enumerate(lines, 1)
            ],
            "total": _totals(paid),
            "payment": {"date": visit.end.date().isoformat(), "amount": yuan(paid.fund)},
        }
    )


def _item(number: int, line: Line, visit: Visit) -> Tree:
    return {
        "sequence": number,
        "diagnosisSequence": [1],
        "productOrService": concept(SERVICE, line.code, line.text),
        "servicedDate": visit.start.date().isoformat(),
        "quantity": {"value": line.count},
        "unitPrice": yuan(line.price),
        "net": yuan(line.net),
        "encounter": [visit.encounter],
    }


def _adjudication(line: Line, insured: Insured) -> list[Tree]:
    member = _share(line, insured)
    return [
        _amount(ADJUDICATION, "submitted", "Submitted Amount", line.net),
        {
            **_amount(ADJUDICATION, "benefit", "Benefit Amount", line.net - member),
            "reason": concept(FUND, insured.scheme.fund, insured.scheme.fund_text),
        },
        _amount(C4BB_ADJUDICATION, "memberliability", "Member liability", member),
    ]


def _totals(paid: Split) -> list[Tree]:
    return [
        _amount(ADJUDICATION, "submitted", "Submitted Amount", paid.submitted),
        _amount(ADJUDICATION, "eligible", "Eligible Amount", paid.submitted),
        _amount(ADJUDICATION, "benefit", "Benefit Amount", paid.fund),
        _amount(C4BB_ADJUDICATION, "memberliability", "Member liability", paid.account + paid.cash),
        _amount(
            C4BB_ADJUDICATION, "paidbypatienthealthaccount", "Paid by patient - health account", paid.account
        ),
        _amount(C4BB_ADJUDICATION, "paidbypatientcash", "Paid by patient - cash", paid.cash),
    ]


def _amount(system: str, code: str, display: str, amount: Decimal) -> Tree:
    return {"category": concept(system, code, display), "amount": yuan(amount)}
