"""``python -m tests.bench.scaling``: what a cluster would hold, and how evenly; writes scaling.json.

A world of hospitals, patients and their records is made of a seed and spread over shards by three shard keys.
Nothing is stored: a patient is a number of documents, a place in the range of digests, a hospital, a region.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import log
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Final

from tests.bench.footprint import measured
from tests.bench.growth import growth, leaving, mongo

RESULTS: Final = Path(__file__).with_name("scaling.json")
_DIGESTS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated.

    ``records``: mean records of a patient; ``sigma``: of the logarithm of their number (lognormal).
    Hospitals' and regions' sizes fall off as 1/rank**``zipf`` and 1/rank**``region_zipf``. ``unbound``: share
    of resources that are about no patient. ``movers``: share of the patients who move to another region in a
    year. ``chunk``: bytes of a range that is moved as a whole (MongoDB's default).
    """

    seed: int = 7
    patients: int = 1_000_000
    hospitals: int = 2_000
    regions: int = 8
    records: float = 55.0
    sigma: float = 1.3
    zipf: float = 1.0
    region_zipf: float = 0.8
    unbound: float = 0.02
    movers: float = 0.03
    chunk: int = 128 * 1024 * 1024
    document: float = 1650.0
    shards: tuple[int, ...] = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class People:
    """The patients, by position: how many documents each has, its digest, hospital and region."""

    documents: list[int]
    digests: list[int]
    hospitals: list[int]
    regions: list[int]


def people(world: World) -> People:
    """Make the patients. A hospital lies in one region; a patient is in the region of its hospital."""
    random = Random(world.seed)
    count = world.patients
    # The mean of a lognormal is exp(mu + sigma²/2).
    mu = log(world.records) - world.sigma**2 / 2
    documents = [max(1, round(random.lognormvariate(mu, world.sigma))) for _ in range(count)]
    digests = [random.getrandbits(64) for _ in range(count)]
    region_of = _drawn(random, world.regions, world.region_zipf, world.hospitals)
    hospitals = _drawn(random, world.hospitals, world.zipf, count)
    return People(documents, digests, hospitals, [region_of[hospital] for hospital in hospitals])


def _drawn(random: Random, kinds: int, exponent: float, count: int) -> list[int]:
    weights = list(accumulate(1 / rank**exponent for rank in range(1, kinds + 1)))
    return random.choices(range(kinds), cum_weights=weights, k=count)


def uneven(loads: Sequence[float]) -> float:
    """Return how much more the fullest has than the mean: 1.0 = all have the same."""
    return max(loads) / fmean(loads)


def by_digest(world: World, some: People, shards: int) -> list[float]:
    """Return the documents of each shard when it has an equal part of the range of digests, unbalanced."""
    loads = [0.0] * shards
    for digest, documents in zip(some.digests, some.documents, strict=True):
        loads[digest * shards // _DIGESTS] += documents
    # What is about no patient lies by its own digest: evenly, as far as a simulation can tell.
    rest = sum(some.documents) * world.unbound / (1 - world.unbound)
    return [load + rest / shards for load in loads]


def by_region(some: People, world: World, shards: int) -> list[float]:
    """Return the documents of each shard when regions are zones that share the shards by their size.

    A region that is smaller than a shard has one to itself all the same: that is what a zone is.
    """
    sizes = [0] * world.regions
    for region, documents in zip(some.regions, some.documents, strict=True):
        sizes[region] += documents
    total = sum(sizes)
    given = [max(1, round(shards * size / total)) for size in sizes]
    return [size / number for size, number in zip(sizes, given, strict=True) for _ in range(number)]


def by_hospital(some: People, shards: int) -> list[float]:
    """Return the documents of each shard when a hospital's records lie together, placed by a digest of it."""
    loads = [0.0] * shards
    places: dict[int, int] = {}
    for hospital, documents in zip(some.hospitals, some.documents, strict=True):
        shard = places.setdefault(hospital, Random(hospital).randrange(shards))
        loads[shard] += documents
    return loads


def chunks(world: World, some: People) -> list[float]:
    """Return the documents of each range of digests that is moved as a whole, in the order of digests.

    The shard key goes on with ``_id``, so that a patient with more than a chunk is cut in two.
    """
    per_chunk = world.chunk / world.document
    total, cut = 0.0, []
    for _, documents in sorted(zip(some.digests, some.documents, strict=True)):
        total += documents
        cut.append(total)
    number = max(1, int(total // per_chunk))
    ends = [cut[bisect_left(cut, total * (place + 1) / number - 0.5)] for place in range(number)]
    return [end - begin for begin, end in zip([0.0, *ends], ends, strict=False)]


def adding(ranges: Sequence[float], shards: int) -> dict[str, float]:
    """Add a shard to ``shards`` that are even; return what share moves, and how even all are afterwards.

    The balancer takes from the fullest until no two differ by three chunks:
    https://www.mongodb.com/docs/manual/core/sharding-balancer-administration/
    """
    owned = [list(ranges[number::shards]) for number in range(shards)]
    loads = [sum(each) for each in owned]
    fresh: list[float] = []
    size = fmean(ranges)
    while max(loads) - sum(fresh) > 3 * size:
        fullest = loads.index(max(loads))
        moved = owned[fullest].pop()
        loads[fullest] -= moved
        fresh.append(moved)
    return {"share": sum(fresh) / sum(ranges), "uneven": uneven([*loads, sum(fresh)])}


def moving(world: World, some: People) -> dict[str, float]:
    """Tell what moves in a year with the patients who move, where the region is in the shard key."""
    random = Random(world.seed + 1)
    movers = sorted(documents for documents in some.documents if random.random() < world.movers)
    return {
        "share": sum(movers) / sum(some.documents),
        "mean": fmean(movers),
        "p99": movers[int(len(movers) * 0.99)],
        "most": movers[-1],
    }


def asked(shards: int) -> dict[str, float]:
    """Return how many shards a request asks, and how often it meets the slowest 1 % of one, asking all.

    ``read``: where the id lies, then the resource. ``patient``: that patient's compartment, and the one of
    what is about several patients.
    """
    return {"read": 2, "patient": 2, "all": shards, "slow": 1 - 0.99**shards}


def simulated(world: World) -> dict[str, Any]:
    """Return everything that the page tells of the simulation."""
    some = people(world)
    ranges = chunks(world, some)
    largest = max(some.documents) * world.document
    return {
        "world": asdict(world),
        "documents": sum(some.documents),
        "balance": [
            {
                "shards": shards,
                "digest": uneven(by_digest(world, some, shards)),
                "balanced": uneven([sum(ranges[number::shards]) for number in range(shards)]),
                "region": uneven(by_region(some, world, shards)),
                "hospital": uneven(by_hospital(some, shards)),
            }
            for shards in world.shards
        ],
        "patients": {
            "largest_documents": max(some.documents),
            "largest_bytes": largest,
            "over_a_chunk": sum(documents * world.document > world.chunk for documents in some.documents),
        },
        "largest_hospital": max(_sums(some.hospitals, some.documents).values()) / sum(some.documents),
        "adding": [{"shards": shards, **adding(ranges, shards)} for shards in world.shards],
        "moving": moving(world, some),
        "asked": [{"shards": shards, **asked(shards)} for shards in world.shards],
    }


def _sums(names: Sequence[int], amounts: Sequence[int]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for name, amount in zip(names, amounts, strict=True):
        sums[name] = sums.get(name, 0) + amount
    return sums


def main() -> None:
    """Measure, simulate, write."""
    parser = argparse.ArgumentParser(description="Simulate a cluster; writes scaling.json.")
    parser.add_argument("--patients", type=int, default=World().patients)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument(
        "--keep", action="store_true", help="keep the simulation, take the benches' figures anew"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        footprint = measured(Path(folder) / "keys")
    if options.keep:
        simulation = json.loads(RESULTS.read_text(encoding="utf-8"))["simulation"]
    else:
        simulation = simulated(World(patients=options.patients, document=footprint["bytes"]["document"]))
    results = {
        "footprint": footprint,
        "growth": growth(footprint),
        "sqlite": leaving(),
        "mongo": mongo(),
        "simulation": simulation,
    }
    options.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
