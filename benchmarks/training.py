"""Training beside TRL: useful tokens a second, peak memory, share of the machine's peak, loss at equal tokens.

    python benchmarks/training.py [--rounds 3] [--kept FILE] [CASE ...]          needs the extra `bench`

Every system trains in a process of its own, in turn, round after round, on the same weights and rows, and medians
are printed. TRL runs twice: as it comes, and at the best setting found for it (no checkpointing, rows packed
best-fit into 1,024 tokens, one pack a step). Its packs make other steps, so there only tokens a second compare.
All compute in bf16 where the processor multiplies it natively, and in fp32 where it does not: TRL would take bf16
there too, and be several times slower than at its fp32. The first step of each is not counted. Useful tokens are
those of rows: no padding. The loss is that of other rows after one pass, by plain transformers in fp32. The share of
the peak counts what has to be multiplied (no padding, causal attention, the head at supervised tokens) against
products of that precision measured in the same round. With `--kept` rounds are added to those of earlier calls.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

BATCH, RANK, RATE = 8, 16, 1e-3


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        config: the shape, with random weights; None for the bundled base.
        method: `full` or `lora`.
        rows: how many are learned from.
    """

    config: dict[str, int] | None
    method: str
    rows: int


SMOL = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "intermediate_size": 1536, "vocab_size": 49152}  # fmt: skip
WIDE = {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": 4,
        "intermediate_size": 1536, "vocab_size": 151936}  # fmt: skip
CASES = {
    "135m-full": Case(SMOL, "full", 24),
    "135m-lora": Case(SMOL, "lora", 24),
    "152k-lora": Case(WIDE, "lora", 32),
    "bundled-full": Case(None, "full", 160),
}
SYSTEMS = ("tunesmith", "trl", "trl-best")


def precision() -> torch.dtype:
    """What this machine multiplies fastest: bf16 where it does so natively."""
    from tunesmith.train.weights import choose_precision

    return choose_precision("auto", torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def rows_of(case: Case, vocabulary: int, count: int, seed: int) -> list[tuple[np.ndarray, int]]:
    """(tokens, tokens of the prompt) of rows of lognormal lengths, mean about 180, each token likely after the last."""
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.lognormal(4.95, 0.7, count), 16, 1024).astype(int)
    words = min(vocabulary, 2048)
    made = []
    for length in lengths:
        ids = np.empty(length, np.int32)
        ids[0] = draw.integers(4, words)
        for place in range(1, length):
            ids[place] = 4 + (7 * ids[place - 1] + draw.integers(0, 3)) % (words - 4)
        made.append((ids, int(0.6 * length)))
    return made


def folder_of(case: Case, work: Path) -> Path:
    """The base, written once."""
    from tunesmith.models.references import BUNDLED
    from tunesmith.testing.tiny import tiny_tokenizer

    if case.config is None:
        return BUNDLED
    folder = work / "-".join(str(value) for value in case.config.values())
    if not folder.exists():
        torch.manual_seed(0)
        tokenizer = tiny_tokenizer()
        config = LlamaConfig(**case.config, tie_word_embeddings=True, max_position_embeddings=2048,
                             pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
                             eos_token_id=tokenizer.eos_token_id)  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


# In a process of its own --------------------------------------------------------------------------


def measure(name: str, system: str, work: Path) -> dict[str, float]:
    """Trains one case by one system: tokens and seconds after the first step, peak memory, loss on other rows."""
    case = CASES[name]
    folder = folder_of(case, work)
    vocabulary = LlamaConfig.from_pretrained(folder).vocab_size
    rows = rows_of(case, vocabulary, case.rows, seed=1)
    run = by_tunesmith if system == "tunesmith" else by_trl
    module, steps = run(case, folder, rows, system)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (_, begun), (_, ended) = steps[0], steps[-1]
    return {
        "tokens": sum(tokens for tokens, _ in steps[1:]),
        "seconds": ended - begun,
        "peak_gib": peak,
        "loss": held_out(module, rows_of(case, vocabulary, 8, seed=2)),
        "peak_flops": matmul_peak(),
        "flops": needed_flops(case, LlamaConfig.from_pretrained(folder), rows)
        * sum(tokens for tokens, _ in steps[1:])
        / sum(len(ids) for ids, _ in rows),
    }


def micro_batch(model: Any) -> str:
    """What is computed at once where a spec says nothing."""
    from tunesmith.spec import derive
    from tunesmith.spec.quantity import Batch, Length

    facts = derive.Facts(
        shape="chat", num_train=1000, num_labels=0, labels_per_record=0, answer_tokens=400, row_tokens=1024,
        context=2048, family=model.family, num_parameters=model.inner.num_parameters(),
        cuda=torch.cuda.is_available(), bf16=precision() == torch.bfloat16,
    )  # fmt: skip
    return str(derive.micro_batch(facts, Batch(BATCH, "rows"), Length(1024, "tokens")).value)


def by_tunesmith(case: Case, folder: Path, rows: list[Any], system: str) -> tuple[Any, list[tuple[int, float]]]:
    """The loop that `tunesmith run` uses, with what it derives."""
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.adapters.full import Full
    from tunesmith.models.adapters.lora import Lora
    from tunesmith.models.load import open_model
    from tunesmith.spec.quantity import Batch, Duration
    from tunesmith.spec.sections import Train
    from tunesmith.train.checkpoint import Checkpoints
    from tunesmith.train.loop import fit
    from tunesmith.train.objectives.sft import Sft
    from tunesmith.train.optimizers.adamw import AdamW
    from tunesmith.train.schedules.constant import Constant

    model = open_model(str(folder), workspace=folder.parent)
    adapter = Lora(rank=RANK, alpha=2.0 * RANK) if case.method == "lora" else Full()
    adapter.attach(model, seed=0)
    examples = [
        Example(id=str(number), ids=ids, trained=np.arange(len(ids)) >= prompt, roles=np.zeros(len(ids), np.uint8))
        for number, (ids, prompt) in enumerate(rows)
    ]
    stage = Train.model_validate(
        {"objective": Sft(), "duration": Duration(1, "epochs"), "batch": Batch(BATCH, "rows"), "watch": [],
         "micro_batch": micro_batch(model), "optimizer": AdamW(lr=RATE), "schedule": Constant(), "precision": "auto",
         "checkpointing": "off"}
    )  # fmt: skip
    steps, seen = [], 0
    with tempfile.TemporaryDirectory() as kept:
        training = fit(model, examples, Sft(), train=stage, checkpoints=Checkpoints(Path(kept), save_every=1e9))
        for step in training:
            steps.append((step.tokens - seen, time.perf_counter()))
            seen = step.tokens
    return model.module, steps


def by_trl(case: Case, folder: Path, rows: list[Any], system: str) -> tuple[Any, list[tuple[int, float]]]:
    """TRL's SFTTrainer: as it comes, or at the best setting found for it."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    ends: list[float] = []
    tokens: list[int] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

    best = {"gradient_checkpointing": False, "packing": True, "packing_strategy": "bfd",
            "per_device_train_batch_size": 1}  # fmt: skip
    with tempfile.TemporaryDirectory() as output:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            args=SFTConfig(
                output_dir=output, report_to="none", save_strategy="no", num_train_epochs=1, max_length=1024,
                bf16=precision() == torch.bfloat16,
                use_cpu=not torch.cuda.is_available(),
                learning_rate=RATE, lr_scheduler_type="constant", completion_only_loss=True, disable_tqdm=True,
                **({"per_device_train_batch_size": BATCH} | (best if system == "trl-best" else {})),
            ),
            train_dataset=Dataset.from_list(
                [{"input_ids": ids.tolist(), "completion_mask": [0] * prompt + [1] * (len(ids) - prompt)}
                 for ids, prompt in rows]
            ),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
            if case.method == "lora" else None,
            callbacks=[Clock()],
        )  # fmt: skip
        collate: Callable[[Any], dict[str, torch.Tensor]] = trainer.data_collator

        def counting(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            tokens.append(sum(len(example["input_ids"]) for example in examples))
            return collate(examples)

        trainer.data_collator = counting
        trainer.train()
    return trainer.model, list(zip(tokens, ends, strict=False))


@torch.no_grad()
def held_out(module: Any, rows: list[tuple[np.ndarray, int]]) -> float:
    """Mean loss over the answers of rows that nobody learned from."""
    module = module.float().eval()
    total = count = 0.0
    for ids, prompt in rows:
        ids_1T = torch.from_numpy(ids.astype(np.int64))[None]
        logits_TV = module(input_ids=ids_1T).logits[0].float()
        targets = ids_1T[0, prompt:]
        total += float(torch.nn.functional.cross_entropy(logits_TV[prompt - 1 : -1], targets, reduction="sum"))
        count += len(targets)
    return total / count


def matmul_peak() -> float:
    """Operations a second of the fastest of three products of training's sizes."""
    found, dtype = [], precision()
    for left, inner, right in ((1440, 576, 1536), (1440, 1536, 576), (1024, 1024, 1024)):
        a, b = torch.randn(left, inner, dtype=dtype), torch.randn(inner, right, dtype=dtype)
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            a @ b
            seconds.append(time.perf_counter() - began)
        found.append(2 * left * inner * right / statistics.median(seconds))
    return max(found)


def needed_flops(case: Case, config: Any, rows: list[tuple[np.ndarray, int]]) -> float:
    """Operations of the products of one pass over the rows, forward and backward."""
    width, head = config.hidden_size, config.head_dim
    attends = head * (config.num_attention_heads + config.num_key_value_heads) * 2
    layer = width * attends + 3 * width * config.intermediate_size
    body, table = config.num_hidden_layers * layer, config.vocab_size * width
    full = case.method == "full"
    total = 0.0
    for ids, prompt in rows:
        total += (6 if full else 4) * body * len(ids) + (6 if full else 4) * table * (len(ids) - prompt)
        total += 6 * config.num_hidden_layers * config.num_attention_heads * head * len(ids) ** 2
    return total


# The comparison -------------------------------------------------------------------------------------


def main() -> None:
    """Runs the rounds and prints a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=3, help="0 only prints what is kept")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--kept", type=Path, help="a JSONL file of rounds; new ones are added")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, system, work = options.one
        print(json.dumps(measure(name, system, Path(work))))
        return
    lines = options.kept.read_text().splitlines() if options.kept and options.kept.exists() else []
    with tempfile.TemporaryDirectory() as work:
        for name in options.cases or CASES:
            found: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
            for one in map(json.loads, lines):
                if one["case"] == name:
                    found[one["system"]].append(one["figures"])
            for _ in range(options.rounds):
                for system in options.systems:
                    figures = {"load": os.getloadavg()[0], **alone(name, system, work)}
                    found[system].append(figures)
                    if options.kept:
                        with options.kept.open("a") as file:
                            print(json.dumps({"case": name, "system": system, "figures": figures}), file=file)
            tell(name, found)


def alone(name: str, system: str, work: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", name, system, work]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} by {system} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def tell(name: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Prints medians, and ratios to each of TRL's settings by the rounds."""
    rates = {system: [one["tokens"] / one["seconds"] for one in several] for system, several in found.items()}
    loads = [one["load"] for several in found.values() for one in several]
    rounds = [len(several) for several in found.values()]
    kind = str(precision()).removeprefix("torch.")
    print(f"\n{name}   {kind}, load {min(loads):.1f} to {max(loads):.1f}, {min(rounds)} rounds, {os.cpu_count()} cores")
    print(f"{'':12}{'tokens/s':>10}{'ours over it':>24}{'peak GiB':>10}{'of peak':>9}{'loss':>8}")
    for system, several in found.items():
        if not several:
            continue
        middle = {key: statistics.median(one[key] for one in several) for key in several[0]}
        over = sorted(mine / theirs for mine, theirs in zip(rates["tunesmith"], rates[system], strict=False))
        share = statistics.median(one["flops"] / one["seconds"] / one["peak_flops"] for one in several)
        ratio = f"{statistics.median(over):.2f} ({over[0]:.2f}-{over[-1]:.2f})" if over else ""
        print(f"{system:12}{statistics.median(rates[system]):>10.0f}{ratio:>24}{middle['peak_gib']:>10.2f}{share:>9.2f}"
              f"{middle['loss']:>8.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
