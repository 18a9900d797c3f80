"""Training speed against TRL: the same weights, rows and tokens, in turns, medians.

    python benchmarks/training.py [--shape smol|wide|bundled ...] [--train full|lora ...] [--rounds 3] [--rows 24]

Needs `pip install -c constraints.txt -e '.[bench]'`. Every job runs in a process of its own, one after the
other, in rounds; a figure is the median of the rounds. Three run: `ours`, `trl` as it comes (bf16 autocast,
gradient checkpointing, padding) and `trl best`, its fastest setting found on CPUs (bf16, no checkpointing,
packing "bfd", one row of 1,024 tokens; the same tokens, but another number of steps).

Useful tokens are those of the rows, padding left out. The first step of each job is not counted. Row
lengths are lognormal, 180 tokens on average, 60% prompt; only answers are learned. Weights are random.
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
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 1024
BATCH = 8
SHAPES: dict[str, dict[str, Any]] = {
    "smol": {  # SmolLM2-135M
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True,
    },
    "wide": {  # a large vocabulary on a small body
        "vocab_size": 151936, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 12,
        "num_attention_heads": 8, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "bundled": {
        "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
}  # fmt: skip
JOBS = ("ours", "trl", "trl best")


def rows(count: int, vocabulary: int) -> list[tuple[list[int], int]]:
    """(tokens, prompt length) of each row."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(4.95, 0.7, count).astype(int), 16, LONGEST)
    return [(random.integers(10, vocabulary, length).tolist(), max(1, int(0.6 * length))) for length in lengths]


def make_model(folder: Path, shape: str) -> None:
    """Random weights of a shape, and the bundled base's tokenizer, which nothing here reads."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tunesmith.models.references import BUNDLED

    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(LlamaConfig(**SHAPES[shape], **ids, max_position_embeddings=2048)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(BUNDLED).save_pretrained(folder)


# The jobs, each in a process of its own ------------------------------------------------------------


def ours(folder: Path, data: list[tuple[list[int], int]], train: str, rate: float) -> list[tuple[float, float]]:
    """(seconds, loss) of each step."""
    from tunesmith.data.example import Example
    from tunesmith.models.load import open_model
    from tunesmith.models.packing.rows import packs
    from tunesmith.part import ADAPTERS, OBJECTIVES, OPTIMIZERS, SCHEDULES
    from tunesmith.spec.quantity import Batch, Duration
    from tunesmith.spec.sections import Train
    from tunesmith.train.checkpoint import Checkpoints
    from tunesmith.train.loop import fit

    model = open_model(str(folder), workspace=folder)
    adapter: Any = ADAPTERS.make({"kind": "lora", "rank": 16, "alpha": 32.0} if train == "lora" else "full")
    adapter.attach(model, seed=0)
    packs(model)
    examples = [
        Example(str(at), np.array(ids, np.int32), np.arange(len(ids)) >= prompt, np.zeros(len(ids), np.uint8))
        for at, (ids, prompt) in enumerate(data)
    ]
    stage = Train(
        objective=OBJECTIVES.make("sft"), adapter=adapter, duration=Duration(1, "epochs"), batch=Batch(BATCH, "rows"),
        micro_batch=Batch(BATCH, "rows"), optimizer=OPTIMIZERS.make({"kind": "adamw", "lr": rate}),
        schedule=SCHEDULES.make("constant"), watch=[], precision="bf16",
    )  # fmt: skip
    taken = []
    before = time.perf_counter()
    checkpoints = Checkpoints(folder / "checkpoints", save_every=10**9)
    for step in fit(model, examples, OBJECTIVES.make("sft"), train=stage, checkpoints=checkpoints):  # type: ignore[arg-type]
        now = time.perf_counter()
        taken.append((now - before, step.loss, step.tokens))
        before = time.perf_counter()
    return taken


def trl(folder: Path, data: list[tuple[list[int], int]], train: str, rate: float, best: bool) -> list[tuple[float, float]]:
    """(seconds, loss) of each step."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    settings: dict[str, Any] = (
        {"packing": True, "packing_strategy": "bfd", "gradient_checkpointing": False, "per_device_train_batch_size": 1}
        if best
        else {"per_device_train_batch_size": BATCH}
    )
    taken: list[tuple[float, float, int]] = []

    class Clock(TrainerCallback):
        began = 0.0
        tokens = 0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            taken.append((time.perf_counter() - self.began, float("nan"), 0))

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                seconds, _loss, _tokens = taken[-1]
                taken[-1] = seconds, logs["loss"], int(logs.get("num_tokens", 0))

    labelled = [{"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]} for ids, prompt in data]
    config = SFTConfig(
        output_dir=str(folder / "trl"), num_train_epochs=1, learning_rate=rate, lr_scheduler_type="constant",
        logging_steps=1, save_strategy="no", report_to="none", max_length=LONGEST, use_cpu=not torch.cuda.is_available(),
        weight_decay=0.0, disable_tqdm=True, dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    peft = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM") if train == "lora" else None
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder), args=config, train_dataset=Dataset.from_list(labelled),
        processing_class=AutoTokenizer.from_pretrained(folder), peft_config=peft, callbacks=[Clock()],
    )  # fmt: skip
    trainer.train()
    return taken


def child(job: str, folder: Path, shape: str, train: str, count: int) -> None:
    """Runs one job and prints what it took."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    rate = 1e-3 if train == "lora" else 1e-4
    data = rows(count, SHAPES[shape]["vocab_size"])
    taken = ours(folder, data, train, rate) if job == "ours" else trl(folder, data, train, rate, job == "trl best")
    tokens = [step[2] for step in taken]
    useful = tokens[-1] - tokens[0]
    seconds = sum(step[0] for step in taken[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rate": useful / seconds, "peak": peak, "loss": [step[1] for step in taken]}))


# The comparison -----------------------------------------------------------------------------------


def peak_of_machine() -> float:
    """Floating point operations a second of this machine's bf16 matrix products."""
    import torch

    best = 0.0
    for _ in range(5):
        a, b = (torch.randn(1024, 1024, dtype=torch.bfloat16) for _ in range(2))
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        best = max(best, 4 * 2 * 1024**3 / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["smol", "wide", "bundled"])
    parser.add_argument("--train", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", nargs=4, metavar=("JOB", "FOLDER", "SHAPE", "TRAIN"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        job, folder, shape, train = given.child
        child(job, Path(folder), shape, train, given.rows)
        return
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "HF_HUB_OFFLINE": "1"}
    print(f"{given.rows} rows, {given.rounds} rounds, {given.threads} threads; load before {os.getloadavg()[0]:.1f}")
    print("| shape | trains | job | useful tokens/s | ours is faster | peak GiB | first and last loss |\n|---|---|---|---|---|---|---|")
    for shape in given.shape:
        with tempfile.TemporaryDirectory() as folder:
            make_model(Path(folder), shape)
            for train in given.train:
                found: dict[str, list[dict[str, Any]]] = {job: [] for job in JOBS}
                for _ in range(given.rounds):
                    for job in JOBS:
                        command = [sys.executable, __file__, "--rows", str(given.rows), "--child", job, folder, shape, train]
                        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                        found[job].append(json.loads(done.stdout.strip().splitlines()[-1]))
                rates = {job: statistics.median(each["rate"] for each in found[job]) for job in JOBS}
                for job in JOBS:
                    peak = statistics.median(each["peak"] for each in found[job]) / 2**30
                    loss = found[job][0]["loss"]
                    ahead = "" if job == "ours" else f"{rates['ours'] / rates[job]:.1f}x"
                    print(
                        f"| {shape} | {train} | {job} | {rates[job]:.0f} | {ahead} | {peak:.1f} | {loss[0]:.4f} {loss[-1]:.4f} |",
                        flush=True,
                    )
    print(f"load after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
