"""Near copies beside datasketch and rensa: rows a second, peak memory, and what was found against brute force.

    python benchmarks/dedup.py [--rows 1000000] [--few 100000] [--checked 20000] [--threshold 0.8] [SYSTEM ...]

needs the extra `bench`. Rows of 60 words are drawn by Zipf's law from 50,000 made-up words; one in ten is a copy of an
earlier row with up to nine other words. All systems compare runs of three words and read the same file, each in a
process of its own. `ours` is the step near_dedup from the file to the last outcome; what it drops it has compared.
datasketch (MinHashLSH, 128 permutations drawn once, xxhash in place of the slower SHA-1) drops a row that meets an
earlier one, without comparing. rensa is run as its documentation says: `RMinHashDeduplicator`, which compares
signatures, and the `rho` pipeline, which samples places of a text. datasketch is timed on `--few` rows, since it would
take too long for all.

Found and right are measured on `--checked` rows against every pair of them: found are pairs at least `--threshold`
alike of which not both stay; right are dropped rows that are at least so much like any other row. Processor time a row
stands beside wall time, since other jobs stretch only the latter; memory is that of the first process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np

from tunesmith.data.methods.similar.shingles import blocks, sets_of, shingles_of
from tunesmith.data.room import Room
from tunesmith.data.steps.near_dedup import NearDedup
from tunesmith.records import Record

WORDS = 60
SYSTEMS = ["ours", "ours-1-core", "datasketch", "rensa", "rensa-rho"]
PERMUTATIONS = 128


def make(path: Path, count: int, seed: int = 0) -> None:
    """Writes the rows, one a line."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    vocabulary = np.array(["".join(draw.choice(letters, draw.integers(1, 11))) + str(n % 7) for n in range(50_000)])
    share = np.cumsum(1 / np.arange(1, len(vocabulary) + 1))
    share /= share[-1]

    def words(size: tuple[int, ...]) -> np.ndarray:
        return np.searchsorted(share, draw.random(size)).astype(np.int32)

    kept = words((min(count, 100_000), WORDS))
    with path.open("w") as file:
        for start in range(0, count, 100_000):
            rows = words((min(100_000, count - start), WORDS)) if start else kept.copy()
            for place in np.flatnonzero(draw.random(len(rows)) < 0.1).tolist():
                source = int(draw.integers(0, len(kept) if start else max(place, 1)))
                rows[place] = (kept if start else rows)[source]
                other = draw.choice(WORDS, draw.integers(0, 10), replace=False)
                rows[place, other] = words((len(other),))
            file.writelines(" ".join(line) + "\n" for line in vocabulary[rows].tolist())


class Lines(Sequence[Record]):
    """Records that lie on disk."""

    def __init__(self, path: Path, count: int) -> None:
        self.file = path.open("rb")  # for as long as the process lives
        lengths = np.fromiter((len(line) for line in islice(self.file, count)), np.int64)
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        rows = range(*at.indices(len(self))) if isinstance(at, slice) else range(at, at + 1)
        start = int(self.starts[rows.start])
        read = os.pread(self.file.fileno(), int(self.ends[rows.stop - 1]) - start, start).decode()
        found = [Record(f"r{n}", f"rows:{n}", text=line) for n, line in zip(rows, read.splitlines(), strict=True)]
        return found if isinstance(at, slice) else found[0]


class Forked(Room):
    """A room whose chunks are read and worked on by processes."""

    cores = 2

    def map_chunks(self, function: Any, records: Sequence[Record], size: int) -> Iterator[Any]:
        global _work
        _work = lambda start: function(records[start : start + size])  # noqa: E731 - what forked processes inherit
        with multiprocessing.get_context("fork").Pool(self.cores) as pool:
            yield from pool.imap(_call, range(0, len(records), size))


_work: Callable[[int], Any]


def _call(start: int) -> Any:
    return _work(start)


# Systems: the numbers of the rows they drop -----------------------------------------------------


def ours(path: Path, count: int, threshold: float, room: Room) -> list[int]:
    records = Lines(path, count)
    step = NearDedup(threshold=threshold)
    return [place for place, outcome in enumerate(step.apply(records, room)) if outcome.dropped]


def token_sets(path: Path, count: int) -> Iterator[list[str]]:
    with path.open() as file:
        for line in islice(file, count):
            words = line.split()
            yield [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]


def datasketch(path: Path, count: int, threshold: float) -> list[int]:
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    first = MinHash(num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)
    dropped = []
    for place, tokens in enumerate(token_sets(path, count)):
        # Permutations are drawn once, which is several times faster.
        sketch = MinHash(PERMUTATIONS, hashfunc=xxh32_intdigest, permutations=first.permutations, scheme=first.scheme)
        sketch.update_batch([token.encode() for token in tokens])
        if lsh.query(sketch):
            dropped.append(place)
        else:
            lsh.insert(place, sketch, check_duplication=False)
    return dropped


def rensa(path: Path, count: int, threshold: float) -> list[int]:
    from rensa import RMinHashDeduplicator

    known = RMinHashDeduplicator(threshold=threshold, num_perm=PERMUTATIONS, use_lsh=True)
    stays = known.add_pairs((str(place), tokens) for place, tokens in enumerate(token_sets(path, count)))
    return [place for place, stay in enumerate(stays) if not stay]


def rensa_rho(path: Path, count: int, threshold: float) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    matrix = RMinHash.digest_matrix_from_token_sets_rho(token_sets(path, count), PERMUTATIONS, 42)
    lsh = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=8)
    return [place for place, copy in enumerate(lsh.query_duplicate_flags_matrix_one_shot(matrix)) if copy]


def run(system: str, path: Path, count: int, threshold: float) -> list[int]:
    """The rows a system drops."""
    if system.startswith("ours"):
        return ours(path, count, threshold, Room() if system == "ours-1-core" else Forked())
    systems = {"datasketch": datasketch, "rensa": rensa, "rensa-rho": rensa_rho}
    return systems[system](path, count, threshold)


# Brute force ------------------------------------------------------------------------------------


def alike_pairs(path: Path, count: int, threshold: float) -> np.ndarray:
    """[K, 2] all pairs at least so much alike, from the counts of common runs of all pairs that have any."""
    from scipy.sparse import csr_matrix

    with path.open() as file:
        texts = [line.strip() for line in islice(file, count)]
    sets = sets_of(list(blocks(*shingles_of(texts, 3))), count)
    ends = np.concatenate([[0], np.cumsum(sets.counts)])
    columns = np.unique(sets.values, return_inverse=True)[1]
    matrix = csr_matrix((np.ones(len(columns), np.int32), columns, ends))
    found = []
    for start in range(0, count, 2000):
        common = (matrix[start : start + 2000] @ matrix.T).tocoo()
        left, right = common.row + start, common.col
        share = common.data / (sets.counts[left] + sets.counts[right] - common.data)
        near = (share >= threshold) & (left < right)
        found.append(np.stack([left[near], right[near]], axis=1))
    return np.concatenate(found)


def judged(dropped: list[int], pairs: np.ndarray, count: int) -> dict[str, float]:
    """Which share of the pairs was found, and which of the dropped rows is right."""
    gone, has_copy = np.zeros(count, bool), np.zeros(count, bool)
    gone[dropped] = True
    has_copy[pairs.reshape(-1)] = True
    return {"found": float(gone[pairs].any(axis=1).mean()), "right": float(has_copy[dropped].mean())}


# The runs ---------------------------------------------------------------------------------------


def measured(system: str, path: Path, count: int, threshold: float, checked: int) -> dict[str, Any]:
    """One system in this process."""
    start, before = time.perf_counter(), time.process_time()
    dropped = run(system, path, count, threshold)
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(each.ru_utime + each.ru_stime for each in used) - before
    told = {"rows": count, "seconds": seconds, "processor": processor, "dropped": len(dropped)}
    told |= {"megabytes": used[0].ru_maxrss / 1024, "worker": used[1].ru_maxrss / 1024}
    few = run(system, path, checked, threshold)
    return told | judged(few, alike_pairs(path, checked, threshold), checked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}; all when left out")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=100_000, help="rows for datasketch")
    parser.add_argument("--checked", type=int, default=20_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--file", type=Path, help="where the rows lie, or are written to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        count = min(given.few, given.rows) if given.one == "datasketch" else given.rows
        print(json.dumps(measured(given.one, given.file, count, given.threshold, min(given.checked, count))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "rows.txt"
        if not path.exists():
            make(path, given.rows)
        print(
            f"{'system':12} {'rows':>9} {'seconds':>8} {'rows/s':>8}  µs/row {'MB':>6} {'found':>7} {'right':>7}  load"
        )
        for system in given.systems or SYSTEMS:
            options = [f"--{name}={getattr(given, name)}" for name in ("rows", "few", "checked", "threshold")]
            command = [sys.executable, __file__, "--one", system, "--file", str(path), *options]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(
                f"{system:12} {found['rows']:9} {found['seconds']:8.1f} {found['rows'] / found['seconds']:8.0f} "
                f"{1e6 * found['processor'] / found['rows']:7.1f} "
                f"{found['megabytes']:6.0f} {found['found']:7.4f} {found['right']:7.4f}  {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
