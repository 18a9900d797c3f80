"""Measures how well causal models predict held-out books, in a unit that does not depend on tokenizers.

    python measure.py --classics CLASSICS_FOLDER MODEL [MODEL ...]

Every model reads the same windows of 600 characters, each after its own start token; what is reported
is the perplexity per character, exp(nats / characters), and bits per character. 600 characters fit
into 512 tokens of every tokenizer with at least a few hundred entries.
"""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

import torch
from corpus import books, prose_paragraphs
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW = 600
NUM_WINDOWS = 500
SEED = 0


def windows(path: Path) -> list[str]:
    """The same NUM_WINDOWS stretches of the held-out books for every model."""
    chance = random.Random(SEED)
    texts = ["\n\n".join(prose_paragraphs(book)) for book in books(path)]
    found = []
    while len(found) < NUM_WINDOWS:
        text = chance.choices(texts, weights=[len(text) for text in texts])[0]
        start = chance.randrange(len(text) - WINDOW)
        found.append(text[start : start + WINDOW])
    return found


@torch.inference_mode()
def nats_per_character(model: str, texts: list[str]) -> float:
    """Mean negative log-likelihood of the texts, in nats a character."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    total = 0.0
    for text in texts:
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]
        if len(ids) > network.config.max_position_embeddings:
            raise SystemExit(f"{model}: a window has {len(ids)} tokens, more than the model reads")
        ids_1T = torch.tensor([ids])
        logits_TV = network(ids_1T).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits_TV, ids_1T[0, 1:], reduction="sum").item()
    return total / (WINDOW * len(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classics", type=Path, required=True, help="folder of classics_val.txt.xz")
    parser.add_argument("models", nargs="+", help="folders of causal models")
    given = parser.parse_args()
    texts = windows(given.classics / "classics_val.txt.xz")
    for model in given.models:
        nats = nats_per_character(model, texts)
        print(f"{model}: perplexity per character {math.exp(nats):.3f}, bits per character {nats / math.log(2):.3f}")


if __name__ == "__main__":
    main()
