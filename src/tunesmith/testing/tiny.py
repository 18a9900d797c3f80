"""Tiny models and tokenizers made from a seed, without network: folders that `open_model` opens.

Each is a real transformers architecture with two layers of width 64 and a byte-level BPE trained on
a few sentences, so that every text can be encoded and tests run in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

Shape = Literal["llama", "gpt2", "bert", "t5", "bart"]
SHAPES = get_args(Shape)

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A template with one token a role; an answer ends with the eos token."""

_ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_SENTENCES = (
    "My card has not arrived yet and I need it before Friday.",
    "The invoice of last month shows the wrong amount, please refund it.",
    "How do I reset my password? The app says the link has expired.",
    "Anna Schmidt of Berlin wrote to the office in New York on 3 May 2021.",
    "Classify the message: billing, delivery, account or other.",
    "What is 12 plus 30? The answer is 42.",
)


def tiny_tokenizer(vocabulary: int = 384, *, chat: bool = True, pad: bool = True, bos: bool = True) -> Any:
    """A byte-level BPE tokenizer; ids 0 to 3 are pad, bos, eos and unk, then one id a role.

    Args:
        vocabulary: number of ids, at least 280.
        chat: whether it brings a chat template.
        pad: whether it names a pad token.
        bos: whether it names a bos token; with one, encoding puts it in front.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*_SPECIAL, *_ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"eos_token": "</s>", "unk_token": "<unk>"}
    if pad:
        names["pad_token"] = "<pad>"
    if bos:
        names["bos_token"] = "<s>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, model_max_length=128)
    if chat:
        fast.chat_template = CHAT_TEMPLATE if bos else CHAT_TEMPLATE.replace("{{ bos_token }}", "")
    return fast


def tiny_encoder_tokenizer(vocabulary: int = 384) -> Any:
    """The same tokenizer, framing each text with [CLS]-like and [SEP]-like tokens, as BERT's do."""
    from tokenizers import processors

    fast = tiny_tokenizer(vocabulary, chat=False)
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fast.cls_token, fast.sep_token = "<s>", "</s>"
    return fast


def tiny_model(folder: Path, shape: Shape = "llama", *, seed: int = 0, tokenizer: Any = None, **config: Any) -> Path:
    """Writes a tiny model with random weights, its tokenizer and config to `folder`.

    Args:
        folder: made when missing.
        shape: whose architecture.
        seed: draws the weights.
        tokenizer: another tokenizer than the shape's own.
        config: values of the transformers config to change, such as `tie_word_embeddings=False`.

    Returns:
        `folder`, ready for `open_model(str(folder), ...)`.
    """
    import torch

    from tunesmith.models.quiet import quiet

    make_config, model_class = _architecture(shape)
    own = tokenizer or (tiny_tokenizer() if shape in ("llama", "gpt2") else tiny_encoder_tokenizer())
    ids = {"pad_token_id": own.pad_token_id, "bos_token_id": own.bos_token_id, "eos_token_id": own.eos_token_id}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(make_config(**({"vocab_size": len(own)} | ids | config)))
        model.save_pretrained(folder)
        own.save_pretrained(folder)
    return folder


def _architecture(shape: Shape) -> tuple[Callable[..., Any], Any]:
    import transformers

    # With the usual 0.02 all answers of a fresh model look alike; wider weights make tests sharper.
    wide = 0.08
    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "initializer_range": wide,
    }

    def llama(**given: Any) -> Any:
        defaults = sizes | {"num_key_value_heads": 2, "max_position_embeddings": 128, "tie_word_embeddings": True}
        return transformers.LlamaConfig(**(defaults | given))

    def gpt2(**given: Any) -> Any:
        return transformers.GPT2Config(
            **({"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": wide} | given)
        )

    def bert(**given: Any) -> Any:
        return transformers.BertConfig(**(sizes | {"max_position_embeddings": 128} | given))

    def t5(**given: Any) -> Any:
        defaults = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4}
        return transformers.T5Config(**(defaults | {"decoder_start_token_id": 0} | given))

    def bart(**given: Any) -> Any:
        halves = {
            f"{half}_{name}": size
            for half in ("encoder", "decoder")
            for name, size in {"layers": 2, "attention_heads": 4, "ffn_dim": 96}.items()
        }
        defaults: dict[str, Any] = {
            "d_model": 64,
            "max_position_embeddings": 128,
            "decoder_start_token_id": 2,
            "init_std": wide,
        }
        defaults["forced_eos_token_id"] = None
        return transformers.BartConfig(**(halves | defaults | given))

    return {
        "llama": (llama, transformers.LlamaForCausalLM),
        "gpt2": (gpt2, transformers.GPT2LMHeadModel),
        "bert": (bert, transformers.BertModel),
        "t5": (t5, transformers.T5ForConditionalGeneration),
        "bart": (bart, transformers.BartForConditionalGeneration),
    }[shape]
