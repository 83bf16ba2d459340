"""How fast maps read: ``python -m tests.bench.mappings``. Processor time of one core, best of three."""

from __future__ import annotations

import io
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mappings import formats
from mappings.engine.batches import Converted, convert
from mappings.engine.model import Context

ROUNDS = 3
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_CONTEXT = Context(source="bench", now="2026-01-01T00:00:00Z", media_type="application/json")


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured: how many a second, what was asked for, and of what."""

    name: str
    rate: float
    aim: float
    unit: str

    def __str__(self) -> str:
        met = "met" if self.rate >= self.aim else "MISSED"
        return f"{self.name:<46} {self.rate:>10,.0f} {self.unit}/s   aim {self.aim:>8,.0f}   {met}"


def best(run: Callable[[], int], rounds: int = ROUNDS) -> float:
    """Return the most units a second of processor time; the first round, which compiles, does not count."""
    run()
    rates = []
    for _ in range(rounds):
        began = time.process_time()
        count = run()
        rates.append(count / (time.process_time() - began))
    return max(rates)


def consumed(pieces: Iterable[Converted]) -> int:
    """Write every Bundle as JSON, as whoever sends it must; return how many messages there were."""
    count = 0
    for piece in pieces:
        assert piece.result is not None, piece.issues
        _ENCODER.encode(piece.result.bundle)
        count += len(piece.messages)
    return count


def envelope(kind: str, direction: str, blocks: dict[str, Any]) -> bytes:
    """Write a message of the insurance interface; all of it is made up."""
    if direction == "response":
        times = {"refmsg_time": "20260101080000", "respond_time": "20260101080001123"}
        return json.dumps({"infcode": 0, "inf_refmsgid": "x", **times, "output": blocks}).encode()
    area = {"mdtrtarea_admvs": "999900", "insuplc_admdvs": "999900", "fixmedins_code": "H99999900001"}
    who = {"opter_type": "1", "opter": "1", "opter_name": "x", "fixmedins_name": "x", "sign_no": "1"}
    what = {"infno": kind, "msgid": "H99999900001202601010800000001", "inf_time": "2026-01-01 08:00:00"}
    system = {"recer_sys_code": "TEST", "infver": "1.0.0"}
    return json.dumps({**what, **area, **system, **who, "input": blocks}).encode()


def person() -> bytes:
    """Return an answer 1101: one person with three enrolments."""
    insured = {
        "psn_insu_stas": "1", "psn_type": "11", "cvlserv_flag": "0", "insuplc_admdvs": "999900",
        "psn_insu_date": "2019-07-01", "emp_name": "x", "balc": 12.5,
    }  # fmt: skip
    base = {
        "psn_no": "9" * 20, "psn_cert_type": "01", "certno": "110101199003074258", "psn_name": "测试",
        "gend": "1", "naty": "01", "brdy": "1990-03-07", "age": 35.0,
    }  # fmt: skip
    rows = [{**insured, "insutype": code} for code in ("310", "320", "510")]
    return envelope("1101", "response", {"baseinfo": base, "insuinfo": rows, "idetinfo": []})


def fees(kind: str, lines: int) -> bytes:
    """Return a request with fee lines (2204 outpatient, 2301 inpatient)."""
    line = {
        "mdtrt_id": "1", "psn_no": "9" * 20, "chrg_bchno": "1", "fee_ocur_time": "2026-01-01 08:00:00",
        "med_list_codg": "XJ01CAA040A001010102699", "medins_list_codg": "A1", "det_item_fee_sumamt": 12.5,
        "cnt": 1, "pric": 12.5, "bilg_dept_codg": "1", "bilg_dept_name": "x", "bilg_dr_codg": "1",
        "bilg_dr_name": "x",
        "rx_circ_flag": "0", "hosp_appr_flag": "1",
    }  # fmt: skip
    rows = [{**line, "feedetl_sn": str(number)} for number in range(1, lines + 1)]
    return envelope(kind, "request", {"feedetail": rows})


def settlement(lines: int) -> bytes:
    """Return an answer 2207 with detail lines."""
    amounts = dict.fromkeys(
        ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "act_pay_dedc", "hifes_pay", "hifmi_pay",
         "hifob_pay", "maf_pay", "oth_pay", "cvlserv_pay", "hosp_part_amt", "acct_pay", "balc",
        "acct_mulaid_pay"), 0,
    )  # fmt: skip
    info = {
        **amounts, "setl_id": "1", "mdtrt_id": "1", "psn_no": "9" * 20, "psn_name": "x",
        "psn_cert_type": "01",
        "certno": "110101199003074258", "gend": "1", "brdy": "1990-03-07", "insutype": "310",
        "psn_type": "11", "setl_time": "2026-01-01 08:00:00", "med_type": "11", "medfee_sumamt": 100,
        "inscp_scp_amt": 100,        "hifp_pay": 70, "fund_pay_sumamt": 70, "psn_part_amt": 30,
        "psn_cash_pay": 30, "medins_setl_id": "1",
        "pool_prop_selfpay": 0.3, "clr_optins": "999900", "clr_way": "1", "clr_type": "11",
    }  # fmt: skip
    detail = {"fund_pay_type": "310100", "inscp_scp_amt": 1, "fund_payamt": 0.7, "setl_proc_info": "x"}
    return envelope("2207", "response", {"setlinfo": info, "setldetail": [detail] * lines})


def messages(kind: str, raw: bytes, count: int) -> Callable[[], int]:
    """Return what reads a message ``count`` times, bytes to Bundle to bytes, archive and all."""
    format_ = formats.get("nhsa")

    def run() -> int:
        done = 0
        for _ in range(count):
            done += consumed(
                convert(
                    format_, format_.split(raw, {"kind": kind, "fixmedins_code": "H99999900001"}), _CONTEXT
                )
            )
        return done

    return run


_HEAD = (
    "PATIENT_ID,INP_NO,NAME,NAME_PHONETIC,SEX,DATE_OF_BIRTH,NATION,ID_NO,IDENTITY,CHARGE_TYPE,MAILING_ADDRESS,"
    "ZIP_CODE,PHONE_NUMBER_HOME,NEXT_OF_KIN,RELATIONSHIP,NEXT_OF_KIN_PHONE,VIP_INDICATOR,CREATE_DATE,OPERATOR"
)


class Endless(io.RawIOBase):
    """A patient index of any length that is made while it is read."""

    def __init__(self, rows: int) -> None:
        self._rows = self._lines(rows)
        self._left = b""

    @staticmethod
    def _lines(rows: int) -> Iterator[bytes]:
        yield f"{_HEAD}\n".encode()
        for start in range(0, rows, 1_000):
            yield "".join(
                f"P{n:08},,测试{n},CE SHI,{'男女'[n % 2]},{1940 + n % 70}-0{n % 9 + 1}-1{n % 9},"
                f"汉族,110101199003074258,"
                f"一般,自费,某市某区某路{n}号,116000,1380000{n % 10_000:04},某某,父,13900000000,0,"
                f"2024-01-02 10:00:00,x\n"
                for n in range(start, min(start + 1_000, rows))
            ).encode()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what comes next."""
        while not self._left:
            line = next(self._rows, None)
            if line is None:
                return 0
            self._left = line
        part = self._left[: len(buffer)]
        self._left = self._left[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def rows(count: int) -> Callable[[], int]:
    """Return what reads a patient index of ``count`` rows, CSV bytes to Bundles to bytes."""
    format_ = formats.get("junwei")

    def run() -> int:
        stream = io.BufferedReader(Endless(count))
        return consumed(convert(format_, format_.split(stream, {"where": "PAT_MASTER_INDEX.csv"}), _CONTEXT))

    return run


def memory(small: int, large: int) -> tuple[float, float]:
    """Return the peak of memory (MB) of reading few rows and many: flat when the two are near each other."""
    peaks = []
    for count in (small, large):
        tracemalloc.start()
        rows(count)()
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    return peaks[0], peaks[1]


def figures() -> list[Figure]:
    """Measure everything."""
    return [
        Figure("1101, 3 enrolments", best(messages("1101", person(), 2_000)), 3_000, "messages"),
        Figure("2204, 100 fee lines", best(messages("2204", fees("2204", 100), 100)), 200, "messages"),
        Figure("2207, 100 detail lines", best(messages("2207", settlement(100), 100)), 200, "messages"),
        Figure("PAT_MASTER_INDEX, CSV to Bundles of 100 rows", best(rows(20_000)), 15_000, "rows"),
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; ``--memory`` also reads a million rows. 0 when every aim is met."""
    chosen = sys.argv[1:] if words is None else words
    found = figures()
    for figure in found:
        sys.stdout.write(f"{figure}\n")
    if "--memory" in chosen:
        few, many = memory(10_000, 1_000_000)
        sys.stdout.write(f"peak memory: {few:.1f} MB for 10,000 rows, {many:.1f} MB for 1,000,000\n")
    return 0 if all(figure.rate >= figure.aim for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
