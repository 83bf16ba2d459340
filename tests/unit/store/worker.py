"""A process of its own that commits to a store until it is told to stop, or is killed.

``python worker.py FOLDER NAME CLIENTS COMMITS``: prints ``NAME-n seconds`` for every acknowledged commit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from tests.contract.store_world import change, open_sqlite


async def main(folder: Path, name: str, clients: int, commits: int) -> None:
    store = open_sqlite(folder)
    numbers = iter(range(commits))

    async def client() -> None:
        for number in numbers:
            id_ = f"{name}-{number}"
            tokens = [["code", "s", id_], ["code", "s", "common"]]
            members = [["member", f"Patient/{id_}"]]
            pair = [change("Patient", id_, tokens=tokens), change("Group", id_, references=members)]
            begun = time.monotonic()
            await store.commit([store.prepare(each) for each in pair])
            sys.stdout.write(f"{id_} {time.monotonic() - begun:.4f}\n")
            sys.stdout.flush()

    sys.stdout.write("ready 0\n")
    sys.stdout.flush()
    await asyncio.gather(*(client() for _ in range(clients)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
