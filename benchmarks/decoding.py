"""Tokens a second of batched decoding beside transformers' `generate`, on the same prompts and weights.

    python benchmarks/decoding.py [--threads 2] [--rounds 5] [CASE ...]

Each case is run by both in turn, round after round; medians are printed, and the load of the machine while it ran.
transformers is given SDPA, and of its dynamic and static caches the one that was faster before the rounds.
`SmolLM2-135M` is that model's shape with random weights, in bf16 on both sides where the machine multiplies it fast, in
fp32 otherwise. `bundled` is the bundled base as evaluation opens it (fp32) on questions of GSM8K from TUNESMITH_DATA,
left out where that is not set. Tokens are useful ones: those that an answer holds up to where it ends. Processor time
stands beside wall time, since other jobs stretch only the latter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteria, StoppingCriteriaList

from tunesmith.models.inference.batching import pad_left
from tunesmith.models.inference.generate import generate
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.train.weights import choose_precision

SMOL = LlamaConfig(
    hidden_size=576,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    intermediate_size=1536,
    vocab_size=49152,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)


@dataclass(frozen=True)
class Case:
    """Prompts, how many are answered at once, and how long each answer is."""

    model: str
    name: str
    batch: int
    prompts: list[list[int]]
    limits: list[int]


def cases(bundled: Model) -> Iterator[Case]:
    """All cases; the same each time."""
    draw = random.Random(0)

    def prompts(lengths: list[int]) -> list[list[int]]:
        return [[draw.randrange(3, 49152) for _ in range(length)] for length in lengths]

    for batch in (1, 8, 32):
        yield Case("SmolLM2-135M", f"batch {batch}", batch, prompts([64] * batch), [64] * batch)
    mixed = [draw.choice([16, 32, 64, 96, 160]) for _ in range(32)]
    yield Case("SmolLM2-135M", "prompts of 16 to 160", 32, prompts(mixed), [64] * 32)
    ends = [min(128, 8 + int(draw.expovariate(1 / 24))) for _ in range(64)]
    yield Case("SmolLM2-135M", "answers of 8 to 128", 32, prompts([64] * 64), ends)
    if folder := os.environ.get("TUNESMITH_DATA"):
        with (Path(folder) / "reason_gsm8k_train1500.jsonl").open() as lines:
            rows = [json.loads(line) for _, line in zip(range(64), lines, strict=False)]
        chats = [[{"role": "user", "content": row["question"]}] for row in rows]
        read = [bundled.tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]
        for batch in (8, 32):
            yield Case("bundled", f"batch {batch}", batch, read[: 2 * batch], [64] * 2 * batch)


class Ends(StoppingCriteria):
    """Ends each row of a batch at its own limit."""

    def __init__(self, limits: list[int], width: int) -> None:
        self._ends_B = torch.tensor(limits) + width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **settings: object) -> torch.Tensor:
        return input_ids.shape[1] >= self._ends_B


def theirs(module: LlamaForCausalLM, case: Case, cache: str) -> None:
    """transformers' `generate`, batch after batch, prompts of similar length together."""
    order = sorted(range(len(case.prompts)), key=lambda row: -len(case.prompts[row]))
    for start in range(0, len(order), case.batch):
        rows = order[start : start + case.batch]
        ids_BT, mask_BT = pad_left([case.prompts[row] for row in rows], 0, torch.device("cpu"))
        limits = [case.limits[row] for row in rows]
        module.generate(
            ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=max(limits),
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            cache_implementation=cache,
            stopping_criteria=StoppingCriteriaList([Ends(limits, ids_BT.shape[1])]),
        )


def ours(model: Model, case: Case) -> None:
    generate(model, case.prompts, stop_ids=(), max_new_tokens=case.limits, batch=case.batch)


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock and of the processor."""

    wall: float
    processor: float


def timed(work: Callable[[], None]) -> Taken:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - wall, time.process_time() - processor)


def smol() -> Model:
    """The shape of SmolLM2-135M with random weights, and a tokenizer that is only there to decode."""
    torch.manual_seed(0)
    model = open_model("bundled", workspace=Path())
    model.module = LlamaForCausalLM(SMOL).to(choose_precision("auto", torch.device("cpu"))).eval()
    model.context = SMOL.max_position_embeddings
    model.tokenizer.decode = lambda tokens, **settings: ""  # type: ignore[method-assign]
    return model


def measure(model: Model, plain: LlamaForCausalLM, case: Case, rounds: int) -> str:
    """One row of the table."""
    warm = {cache: timed(lambda cache=cache: theirs(plain, case, cache)).wall for cache in ("dynamic", "static")}
    best = min(warm, key=lambda cache: warm[cache])
    ours(model, case)
    pairs = [(timed(lambda: theirs(plain, case, best)), timed(lambda: ours(model, case))) for _ in range(rounds)]
    tokens = sum(case.limits)
    their_wall, our_wall = (statistics.median(pair[side].wall for pair in pairs) for side in (0, 1))
    wall = statistics.median(them.wall / us.wall for them, us in pairs)
    processor = statistics.median(them.processor / us.processor for them, us in pairs)
    return (
        f"| {case.model} | {case.name} | {tokens / their_wall:.0f} ({best}) | {tokens / our_wall:.0f} "
        f"| {wall:.2f} | {processor:.2f} | {os.getloadavg()[0]:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="parts of names, such as 'batch 8' or bundled; all when left out")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    bundled = open_model("bundled", workspace=Path())
    models = {"SmolLM2-135M": smol(), "bundled": bundled}
    plain = {"SmolLM2-135M": smol().module, "bundled": open_model("bundled", workspace=Path()).inner}
    print(f"tokens a second, {given.threads} threads, {given.rounds} rounds, torch {torch.__version__}\n")
    print("| model | case | transformers | tunesmith | ratio | ratio of processor time | load |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for case in cases(bundled):
        if not given.cases or any(part in f"{case.model} {case.name}" for part in given.cases):
            print(measure(models[case.model], plain[case.model], case, given.rounds), flush=True)


if __name__ == "__main__":
    main()
