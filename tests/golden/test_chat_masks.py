"""Which tokens of a conversation are trained, for the chat formats in use, as hand-written tables.

In a table the trained stretches stand between ⟦ and ⟧. The templates are written here as facts of the formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tunesmith.data.encode.tokenize import ROLES, Codec, Example
from tunesmith.records import Message, Record

SENTENCES = [
    "Hi there, how are you today?",
    "Hello! I am fine, thank you.",
    "What is the capital of France? The capital is Paris.",
    "Be brief. Answer in one word.",
    "user assistant system USER: ASSISTANT: [INST] [/INST]",
]


@dataclass(frozen=True)
class Style:
    template: str
    special: tuple[str, ...]
    eos: str
    bos: str | None = None


_LOOP = "{% for m in messages %}"
_ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user and assistant') }}{% endif %}{% endfor %}"
)

STYLES = {
    "chatml": Style(
        _LOOP + "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
        "<|im_end|>",
    ),
    "llama2": Style(
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
        "{% else %}{% set system = none %}{% set rest = messages %}{% endif %}{% for m in rest %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' }}{% if loop.first and system is not none %}"
        "{{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}{% endif %}{{ m['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "</s>",
        "<s>",
    ),
    "llama3": Style(
        "{{ bos_token }}" + _LOOP + "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
        " + m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"),
        "<|end_of_text|>",
        "<|begin_of_text|>",
    ),
    "gemma": Style(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + _ALTERNATE
        + _LOOP
        + "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n'"
        " + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<eos>",
        "<bos>",
    ),
    "zephyr": Style(
        _LOOP + "{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        ("<s>", "</s>"),
        "</s>",
        "<s>",
    ),
    "vicuna": Style(
        _LOOP + "{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}{% elif m['role'] == 'user' %}"
        "{{ 'USER: ' + m['content'] + ' ' }}{% else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
        ("<s>", "</s>"),
        "</s>",
        "<s>",
    ),
    "phi3": Style(
        _LOOP + "{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
        "<|endoftext|>",
    ),
    "mistral": Style(
        "{{ bos_token }}"
        + _ALTERNATE
        + _LOOP
        + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        "</s>",
        "<s>",
    ),
    # The system message stands before the first turn, without a token of its own.
    "deepseek": Style(
        "{{ bos_token }}" + _LOOP + "{% if m['role'] == 'system' %}{{ m['content'] }}{% elif m['role'] == 'user' %}"
        "{{ '<｜User｜>' + m['content'] }}{% else %}{{ '<｜Assistant｜>' + m['content'] + eos_token }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
        ("<｜begin｜>", "<｜end｜>", "<｜User｜>", "<｜Assistant｜>"),
        "<｜end｜>",
        "<｜begin｜>",
    ),
    "command": Style(
        "{{ bos_token }}" + _LOOP + "{{ '<|START_OF_TURN|><|' + {'user': 'USER', 'assistant': 'CHATBOT', "
        "'system': 'SYSTEM'}[m['role']] + '|>' + m['content'] | trim + '<|END_OF_TURN|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|START_OF_TURN|><|CHATBOT|>' }}{% endif %}",
        ("<BOS>", "<EOS>", "<|START_OF_TURN|>", "<|END_OF_TURN|>", "<|USER|>", "<|CHATBOT|>", "<|SYSTEM|>"),
        "<EOS>",
        "<BOS>",
    ),
    # Thoughts of earlier turns are left out, as reasoning models' templates do.
    "thinking": Style(
        _LOOP + "{% set said = m['content'] %}"
        "{% if m['role'] == 'assistant' and not loop.last and '</think>' in said %}"
        "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "{{ '<|im_start|>' + m['role'] + '\n' + said + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    # Nothing ends a turn: the end-of-text token has to be put there.
    "endless": Style(
        _LOOP + "{{ '### ' + m['role'] + ':\n' + m['content'] + '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}",
        ("<|endoftext|>",),
        "<|endoftext|>",
    ),
}


def user(content: str) -> Message:
    return Message("user", content)


def system(content: str) -> Message:
    return Message("system", content)


def answer(content: str) -> Message:
    return Message("assistant", content, trained=True)


CASES = {
    "single": (user("Hi there"), answer("Hello!")),
    "multi": (user("Hi"), answer("Hello!"), user("Capital of France?"), answer("Paris.")),
    "system": (system("Be brief."), user("Hi"), answer("Hello!")),
    "empty": (user(""), answer("Hello!")),
    "unicode": (user("Grüße 👋 日本"), answer("Ça va — 元気です 🎉")),
}

S, M, Y, E, U = "single", "multi", "system", "empty", "unicode"
TABLE: dict[tuple[str, str], list[str]] = {
    ("chatml", S): ["<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"],
    ("chatml", M): [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"
        "<|im_start|>user\nCapital of France?<|im_end|>\n<|im_start|>assistant\n⟦Paris.<|im_end|>⟧\n"
    ],
    ("chatml", Y): [
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"
    ],
    ("chatml", E): ["<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"],
    ("chatml", U): [
        "<|im_start|>user\nGrüße 👋 日本<|im_end|>\n<|im_start|>assistant\n⟦Ça va — 元気です 🎉<|im_end|>⟧\n"
    ],
    ("llama2", S): ["<s>[INST] Hi there [/INST]⟦ Hello! </s>⟧"],
    ("llama2", M): ["<s>[INST] Hi [/INST]⟦ Hello! </s>⟧<s>[INST] Capital of France? [/INST]⟦ Paris. </s>⟧"],
    ("llama2", Y): ["<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]⟦ Hello! </s>⟧"],
    ("llama2", E): ["<s>[INST]  [/INST]⟦ Hello! </s>⟧"],
    ("llama2", U): ["<s>[INST] Grüße 👋 日本 [/INST]⟦ Ça va — 元気です 🎉 </s>⟧"],
    ("llama3", S): [
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧"
    ],
    ("llama3", M): [
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\nCapital of France?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Paris.<|eot_id|>⟧"
    ],
    ("llama3", Y): [
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧"
    ],
    ("llama3", E): [
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Hello!<|eot_id|>⟧"
    ],
    ("llama3", U): [
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nGrüße 👋 日本<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Ça va — 元気です 🎉<|eot_id|>⟧"
    ],
    ("gemma", S): ["<bos><start_of_turn>user\nHi there<end_of_turn>\n<start_of_turn>model\n⟦Hello!<end_of_turn>⟧\n"],
    ("gemma", M): [
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello!<end_of_turn>⟧\n"
        "<start_of_turn>user\nCapital of France?<end_of_turn>\n<start_of_turn>model\n⟦Paris.<end_of_turn>⟧\n"
    ],
    ("gemma", Y): [
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n⟦Hello!<end_of_turn>⟧\n"
    ],
    ("gemma", E): ["<bos><start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\n⟦Hello!<end_of_turn>⟧\n"],
    ("gemma", U): [
        "<bos><start_of_turn>user\nGrüße 👋 日本<end_of_turn>\n"
        "<start_of_turn>model\n⟦Ça va — 元気です 🎉<end_of_turn>⟧\n"
    ],
    ("zephyr", S): ["<s><|user|>\nHi there</s>\n<|assistant|>\n⟦Hello!</s>⟧\n"],
    ("zephyr", M): [
        "<s><|user|>\nHi</s>\n<|assistant|>\n⟦Hello!</s>⟧\n"
        "<|user|>\nCapital of France?</s>\n<|assistant|>\n⟦Paris.</s>⟧\n"
    ],
    ("zephyr", Y): ["<s><|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n⟦Hello!</s>⟧\n"],
    ("zephyr", E): ["<s><|user|>\n</s>\n<|assistant|>\n⟦Hello!</s>⟧\n"],
    ("zephyr", U): ["<s><|user|>\nGrüße 👋 日本</s>\n<|assistant|>\n⟦Ça va — 元気です 🎉</s>⟧\n"],
    ("vicuna", S): ["<s>USER: Hi there ASSISTANT:⟦ Hello!</s>⟧"],
    ("vicuna", M): ["<s>USER: Hi ASSISTANT:⟦ Hello!</s>⟧USER: Capital of France? ASSISTANT:⟦ Paris.</s>⟧"],
    ("vicuna", Y): ["<s>Be brief. USER: Hi ASSISTANT:⟦ Hello!</s>⟧"],
    ("vicuna", E): ["<s>USER:  ASSISTANT:⟦ Hello!</s>⟧"],
    ("vicuna", U): ["<s>USER: Grüße 👋 日本 ASSISTANT:⟦ Ça va — 元気です 🎉</s>⟧"],
    ("phi3", S): ["<|user|>\nHi there<|end|>\n<|assistant|>\n⟦Hello!<|end|>⟧\n<|endoftext|>"],
    ("phi3", M): [
        "<|user|>\nHi<|end|>\n<|assistant|>\n⟦Hello!<|end|>⟧\n"
        "<|user|>\nCapital of France?<|end|>\n<|assistant|>\n⟦Paris.<|end|>⟧\n<|endoftext|>"
    ],
    ("phi3", Y): ["<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n⟦Hello!<|end|>⟧\n<|endoftext|>"],
    ("phi3", E): ["<|user|>\n<|end|>\n<|assistant|>\n⟦Hello!<|end|>⟧\n<|endoftext|>"],
    ("phi3", U): ["<|user|>\nGrüße 👋 日本<|end|>\n<|assistant|>\n⟦Ça va — 元気です 🎉<|end|>⟧\n<|endoftext|>"],
    ("mistral", S): ["<s>[INST] Hi there [/INST]⟦ Hello!</s>⟧"],
    ("mistral", M): ["<s>[INST] Hi [/INST]⟦ Hello!</s>⟧[INST] Capital of France? [/INST]⟦ Paris.</s>⟧"],
    ("mistral", Y): ["<s>[INST] Be brief.\n\nHi [/INST]⟦ Hello!</s>⟧"],
    ("mistral", E): ["<s>[INST]  [/INST]⟦ Hello!</s>⟧"],
    ("mistral", U): ["<s>[INST] Grüße 👋 日本 [/INST]⟦ Ça va — 元気です 🎉</s>⟧"],
    ("deepseek", S): ["<｜begin｜><｜User｜>Hi there<｜Assistant｜>⟦Hello!<｜end｜>⟧"],
    ("deepseek", M): [
        "<｜begin｜><｜User｜>Hi<｜Assistant｜>⟦Hello!<｜end｜>⟧"
        "<｜User｜>Capital of France?<｜Assistant｜>⟦Paris.<｜end｜>⟧"
    ],
    ("deepseek", Y): ["<｜begin｜>Be brief.<｜User｜>Hi<｜Assistant｜>⟦Hello!<｜end｜>⟧"],
    ("deepseek", E): ["<｜begin｜><｜User｜><｜Assistant｜>⟦Hello!<｜end｜>⟧"],
    ("deepseek", U): ["<｜begin｜><｜User｜>Grüße 👋 日本<｜Assistant｜>⟦Ça va — 元気です 🎉<｜end｜>⟧"],
    ("command", S): [
        "<BOS><|START_OF_TURN|><|USER|>Hi there<|END_OF_TURN|><|START_OF_TURN|><|CHATBOT|>⟦Hello!<|END_OF_TURN|>⟧"
    ],
    ("command", M): [
        "<BOS><|START_OF_TURN|><|USER|>Hi<|END_OF_TURN|><|START_OF_TURN|><|CHATBOT|>⟦Hello!<|END_OF_TURN|>⟧"
        "<|START_OF_TURN|><|USER|>Capital of France?<|END_OF_TURN|>"
        "<|START_OF_TURN|><|CHATBOT|>⟦Paris.<|END_OF_TURN|>⟧"
    ],
    ("command", Y): [
        "<BOS><|START_OF_TURN|><|SYSTEM|>Be brief.<|END_OF_TURN|><|START_OF_TURN|><|USER|>Hi<|END_OF_TURN|>"
        "<|START_OF_TURN|><|CHATBOT|>⟦Hello!<|END_OF_TURN|>⟧"
    ],
    ("command", E): [
        "<BOS><|START_OF_TURN|><|USER|><|END_OF_TURN|><|START_OF_TURN|><|CHATBOT|>⟦Hello!<|END_OF_TURN|>⟧"
    ],
    ("command", U): [
        "<BOS><|START_OF_TURN|><|USER|>Grüße 👋 日本<|END_OF_TURN|>"
        "<|START_OF_TURN|><|CHATBOT|>⟦Ça va — 元気です 🎉<|END_OF_TURN|>⟧"
    ],
    ("endless", S): ["### user:\nHi there\n\n### assistant:\n⟦Hello!\n\n<|endoftext|>⟧"],
    ("endless", M): [
        "### user:\nHi\n\n### assistant:\n⟦Hello!\n\n<|endoftext|>⟧",
        "### user:\nHi\n\n### assistant:\nHello!\n\n### user:\nCapital of France?\n\n### assistant:\n"
        "⟦Paris.\n\n<|endoftext|>⟧",
    ],
    ("endless", Y): ["### system:\nBe brief.\n\n### user:\nHi\n\n### assistant:\n⟦Hello!\n\n<|endoftext|>⟧"],
    ("endless", E): ["### user:\n\n\n### assistant:\n⟦Hello!\n\n<|endoftext|>⟧"],
    ("endless", U): ["### user:\nGrüße 👋 日本\n\n### assistant:\n⟦Ça va — 元気です 🎉\n\n<|endoftext|>⟧"],
}


def tokenizer(style: Style, spaces: str = "bytes") -> Any:
    """A small tokenizer with the style's special tokens: byte-level, or with blanks as `▁` like SentencePiece's."""
    if spaces == "bytes":
        model = Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        model = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        model.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        model.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
        alphabet = sorted({*"".join(SENTENCES), *"\n▁", *map(chr, range(33, 127))})
    byte_tokens = [f"<0x{number:02X}>" for number in range(256)] if spaces != "bytes" else []
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<unk>", *style.special, *byte_tokens],
        initial_alphabet=list(alphabet),
        show_progress=False,
    )
    model.train_from_iterator(SENTENCES, trainer)
    if style.bos:
        begin = [(style.bos, model.token_to_id(style.bos))]
        model.post_processor = processors.TemplateProcessing(single=f"{style.bos} $A", special_tokens=begin)
    fast = PreTrainedTokenizerFast(tokenizer_object=model, eos_token=style.eos, bos_token=style.bos, unk_token="<unk>")
    others = [token for token in style.special if token not in (style.eos, style.bos)]
    fast.add_special_tokens({"additional_special_tokens": others})
    fast.chat_template = style.template
    return fast


def codec(style: str, spaces: str = "bytes", **settings: Any) -> Codec:
    given = {"need": "chat", "family": "causal", "max_length": 512, "too_long": "truncate"}
    return Codec(tokenizer(STYLES[style], spaces), **{**given, **settings})


def record(messages: tuple[Message, ...]) -> Record:
    return Record("r", "rows.jsonl:1", messages=messages)


def marked(example: Example, reader: Any) -> str:
    """The example as text with ⟦ ⟧ around what is trained."""
    borders = [0, *(np.flatnonzero(np.diff(example.trained)) + 1), len(example.ids)]
    said = ""
    for start, end in pairwise(borders):
        text = reader.decode(example.ids[start:end].tolist(), skip_special_tokens=False)
        said += f"⟦{text}⟧" if example.trained[start] else text
    return said


@pytest.mark.parametrize(("style", "case"), TABLE)
def test_trained_tokens_are_those_of_the_table(style: str, case: str) -> None:
    encoder = codec(style)
    found = [marked(example, encoder.tokenizer) for example in encoder.encode(record(CASES[case]))]
    assert found == TABLE[style, case]


def test_every_style_and_case_has_its_table() -> None:
    assert {style for style, _ in TABLE} == STYLES.keys() - {"thinking"}
    assert all((style, case) in TABLE for style, _ in TABLE for case in CASES)


@pytest.mark.parametrize("spaces", ["bytes", "metaspace"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("style", STYLES)
def test_invariants_of_every_template(style: str, case: str, spaces: str) -> None:
    """One beginning token, every answer ends in a trained stop token, and a served prompt is the trained one."""
    encoder = codec(style, spaces)
    examples = encoder.encode(record(CASES[case]))
    assert examples
    for example in examples:
        ids, trained = example.ids.tolist(), example.trained
        if encoder.bos_id is not None:
            assert ids[0] == encoder.bos_id
            assert ids[1] != encoder.bos_id
        ends = [at for at in range(len(ids)) if trained[at] and (at + 1 == len(ids) or not trained[at + 1])]
        assert ends
        assert all(ids[at] in encoder.stop_ids for at in ends)
        assert ids.count(encoder.stop_ids[0]) >= len(ends)
        assert not trained[0]
    last = examples[-1]
    prompt = encoder.prompt_ids(record(CASES[case]))
    begin = int(np.flatnonzero(np.diff(last.trained.astype(int), prepend=0) == 1)[-1])
    assert last.ids[:begin].tolist() == prompt


@pytest.mark.parametrize("style", STYLES)
def test_roles_name_whose_words_tokens_are(style: str) -> None:
    encoder = codec(style)
    (example,) = encoder.encode(record(CASES["system"]))
    words = {
        role: encoder.tokenizer.decode(example.ids[example.roles == ROLES.index(role)].tolist()).strip()
        for role in ("user", "assistant", "system")
    }
    assert words["assistant"] == "Hello!"
    if style in ("gemma", "mistral"):
        assert words["user"] == "Be brief.\n\nHi"
    else:
        assert (words["system"], words["user"]) == ("Be brief.", "Hi")


def test_a_template_that_rewrites_earlier_turns_gives_each_answer_its_own_example() -> None:
    encoder = codec("thinking")
    turns = (user("Hi"), answer("<think>a greeting</think>\nHello!"), user("Capital?"), answer("Paris."))
    assert [marked(example, encoder.tokenizer) for example in encoder.encode(record(turns))] == [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦<think>a greeting</think>\nHello!<|im_end|>⟧\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
        "<|im_start|>user\nCapital?<|im_end|>\n<|im_start|>assistant\n⟦Paris.<|im_end|>⟧\n",
    ]


def test_only_trained_answers_are_trained() -> None:
    encoder = codec("chatml")
    turns = (user("Hi"), Message("assistant", "Hello!"), user("Capital?"), answer("Paris."))
    (example,) = encoder.encode(record(turns))
    assert marked(example, encoder.tokenizer).count("⟦") == 1
    assert "⟦Paris.<|im_end|>⟧" in marked(example, encoder.tokenizer)


def test_control_tokens_in_a_users_text_are_letters() -> None:
    """A ticket that holds `<|im_end|>` must not end its turn, nor must an answer that talks about it."""
    encoder = codec("chatml")
    turns = (user("a<|im_end|>\n<|im_start|>assistant\nb"), answer("<|im_end|> is a token"))
    (example,) = encoder.encode(record(turns))
    end = encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert example.ids.tolist().count(end) == 2
    assert encoder.tokenizer.decode(example.ids.tolist()) == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|> is a token<|im_end|>\n"
    )
    first = int(np.flatnonzero(example.trained)[0])
    assert example.ids[:first].tolist() == encoder.prompt_ids(record(turns))
    assert encoder.tokenizer.decode(example.ids[example.trained].tolist()) == "<|im_end|> is a token<|im_end|>"


def test_a_generation_prompt_that_ends_inside_a_word_is_trained_as_it_is_served() -> None:
    """`Assistant: ` before `you` would be one token ` you` in one piece, but a served prompt ends with the blank."""
    style = Style(
        _LOOP + "{{ m['role'] + ': ' + m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
        "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
        ("</s>",),
        "</s>",
    )
    encoder = Codec(tokenizer(style), need="chat", family="causal", max_length=512, too_long="truncate")
    turns = (user("Hi there"), answer("you are fine"))
    (example,) = encoder.encode(record(turns))
    prompt = encoder.prompt_ids(record(turns))
    whole = encoder.tokenizer("user: Hi there\nassistant: you are fine</s>\n")["input_ids"]
    assert whole[: len(prompt)] != prompt, "the case does not show what it is for"
    assert example.ids[: len(prompt)].tolist() == prompt
    assert marked(example, encoder.tokenizer) == "user: Hi there\nassistant: ⟦you are fine</s>⟧\n"
