"""Learns the bundled base's tokenizer and writes its architecture beside it.

    python tokenizer.py --corpus corpus/train.jsonl --out start/

A byte-level BPE of 8,192 entries: every string of Unicode comes back exactly as it went in. Digits
are single tokens. One token, `<|end|>`, ends a document and a turn alike, so there is no second stop
token to forget. The folder holds no weights: it is what `base: {model: start, initialize: random}`
starts from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, PreTrainedTokenizerFast

VOCABULARY = 8192
CONTEXT = 1024
PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=256,
    intermediate_size=640,
    num_hidden_layers=6,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=CONTEXT,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    architectures=["LlamaForCausalLM"],
    dtype="bfloat16",
)


def texts(corpus: Path) -> Iterator[str]:
    """The documents' texts."""
    with corpus.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def learn(corpus: Iterator[str]) -> PreTrainedTokenizerFast:
    """Learns the merges and wraps them with bos, chat template and special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus/train.jsonl"), help="documents to learn from")
    parser.add_argument("--out", type=Path, default=Path("start"), help="folder to write to")
    given = parser.parse_args()
    tokenizer = learn(texts(given.corpus))
    assert len(tokenizer) == VOCABULARY
    tokenizer.save_pretrained(given.out)
    CONFIG.save_pretrained(given.out)
    GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0).save_pretrained(given.out)
    sample = next(texts(given.corpus))
    print(f"{given.out}: {len(tokenizer)} tokens, {len(sample) / len(tokenizer(sample).input_ids):.2f} characters each")


if __name__ == "__main__":
    main()
