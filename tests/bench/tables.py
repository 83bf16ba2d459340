"""``python -m tests.bench.tables``: hospital extracts to Bundles, rows per second of one core, and memory.

Time is processor time, for others may use the machine; aim: 15,000 rows a second, memory the same after a
hundred thousand rows and after a million.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from mappings.engine.batches import convert
from mappings.engine.model import Context
from mappings.his.format import TableFormat, make
from mappings.his.opening import open_place
from mappings.his.places import File
from mappings.his.tables import Table
from mappings.his.writing import write_text

AIM = 15_000
TABLES = ("INP_BILL_DETAIL", "PAT_MASTER_INDEX", "LAB_RESULT")
_USUAL = {
    "NAME": "张三",
    "NAME_PHONETIC": "ZHANG SAN",
    "SEX": "男",
    "DATE_OF_BIRTH": "1956-03-14 00:00:00",
    "BIRTH_PLACE": "北京市",
    "NATION": "汉族",
    "ID_NO": "99999919560314001X",
    "CHARGE_TYPE": "普通医保",
    "MAILING_ADDRESS": "北京市朝阳区示例路1号",
    "ZIP_CODE": "100020",
    "PHONE_NUMBER_HOME": "13800000000",
    "NEXT_OF_KIN": "李四",
    "RELATIONSHIP": "1",
    "ITEM_CLASS": "A",
    "ITEM_NAME": "阿托伐他汀钙片",
    "ITEM_CODE": "01A0002",
    "ITEM_SPEC": "20mg*7",
    "AMOUNT": "1.00",
    "UNITS": "盒",
    "PERFORMED_BY": "0901",
    "COSTS": "42.10",
    "CHARGES": "42.10",
    "BILLING_DATE_TIME": "2024-01-06 10:05:00",
    "REPORT_ITEM_NAME": "总胆固醇",
    "REPORT_ITEM_CODE": "TC",
    "RESULT": "6.20",
    "ABNORMAL_INDICATOR": "H",
    "RESULT_DATE_TIME": "2024-01-07 11:00:00",
    "RESULT_RANGE": "2.80-5.70",
}
_PER_PATIENT = 20


def rows(table: Table, count: int) -> Iterator[dict[str, str]]:
    """Make rows of a table, ``_PER_PATIENT`` of each patient where the table has several."""
    usual = {name: _USUAL[name] for name in table.columns if name in _USUAL}
    single = table.key == ("PATIENT_ID",)
    for number in range(count):
        patient = number if single else number // _PER_PATIENT
        own = {
            "PATIENT_ID": f"{patient:010}",
            "VISIT_ID": "1",
            "TEST_NO": f"{patient:010}",
            "ITEM_NO": str(number),
        }
        own |= {"PRINT_ORDER": "1", "ORDERED_BY": f"{number % 40:04}", "RCPT_NO": f"R{patient}"}
        yield usual | {name: value for name, value in own.items() if name in table.columns}


def measure(format_: TableFormat, path: Path) -> tuple[int, float]:
    """Convert an extract, archive included; return the number of rows and the seconds of processor."""
    context = Context(source="bench", now="2024-02-01T08:00:00Z", media_type="text/csv")
    began = time.process_time()
    count = 0
    for source in open_place(File(path), format_.schema):
        for converted in convert(format_, source.rows(), context):
            count += len(converted.messages)
    return count, time.process_time() - began


def peak() -> int:
    """Return the most memory that the process has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(words: list[str] | None = None) -> int:
    """Measure and print; 0 when every table meets the aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tables", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each extract")
    parser.add_argument("--table", choices=TABLES, help="this table alone")
    chosen = parser.parse_args(words)
    console, format_, is_met = Console(), make("junwei"), True
    for name in (chosen.table,) if chosen.table else TABLES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.csv"
            with path.open("wb") as file:
                file.writelines(
                    write_text(rows(format_.schema[name], chosen.rows), format_.schema[name], "gb18030")
                )
            before = peak()
            count, seconds = measure(format_, path)
        speed = count / seconds
        is_met &= speed >= AIM
        console.print(f"{name:18} {count:>9,} rows {speed:>8,.0f} rows/s   memory {before} → {peak()} MiB")
    return 0 if is_met else 1


if __name__ == "__main__":
    raise SystemExit(main())
