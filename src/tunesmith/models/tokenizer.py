"""Opens tokenizers, always with a chat template, and chooses the id that fills padded places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError
from tunesmith.models.quiet import quiet
from tunesmith.models.references import locate, read_json_file, refuse_code

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Assistant: {{ message['content'] }}{{ eos_token or sep_token or '' }}\n"
    "{% elif message['role'] == 'system' %}{{ message['content'] }}\n"
    "{% elif message['role'] == 'tool' %}Tool: {{ message['content'] }}\n"
    "{% else %}User: {{ message['content'] }}\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""What tokenizers without a chat template are given: `User: ...` and `Assistant: ...` lines after one
bos token; the system message stands by itself, and an assistant's turn ends with the eos token."""

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")


def open_tokenizer(reference: str, *, workspace: Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Opens the tokenizer of a base model; no weights are read.

    Args:
        reference: `bundled`, a folder, a hub id or `run:NAME/N`.
        workspace: the folder that holds `runs/`.
        revision: a hub branch, tag or commit.

    Returns:
        The tokenizer with its own chat template, or `PLAIN_TEMPLATE` where it has none.

    Raises:
        ModelError: there is no tokenizer, it is damaged, or it needs code of its own.
    """
    return read_tokenizer(locate(reference, workspace=workspace, revision=revision, weights=False).folder)


def has_tokenizer(folder: Path) -> bool:
    """Whether `folder` holds a tokenizer's vocabulary."""
    return any((folder / name).exists() for name in _FILES)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Opens the tokenizer in `folder`; see `open_tokenizer`."""
    from transformers import AutoTokenizer

    if not has_tokenizer(folder):
        raise ModelError(
            "the model has no tokenizer",
            where=str(folder),
            fix="put its tokenizer.json and tokenizer_config.json there",
        )
    if (folder / "tokenizer_config.json").exists():
        settings = read_json_file(folder / "tokenizer_config.json", "a tokenizer")
        refuse_code(settings, folder / "tokenizer_config.json")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # The tokenizers library raises bare Exception for a damaged file.
    except Exception as error:
        raise ModelError(
            f"the tokenizer cannot be opened: {_first_line(error)}",
            where=str(folder),
            fix="fetch the folder again; tokenizer.json must be one that the tokenizers library reads",
        ) from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def choose_pad_id(tokenizer: PreTrainedTokenizerBase, config_pad_id: int | None, vocabulary: int) -> tuple[int, str]:
    """The id put into padded places, which masks hide from the model and the loss.

    Args:
        tokenizer: the model's tokenizer; it is not changed.
        config_pad_id: the pad id of the model's config.
        vocabulary: rows of the model's embedding.

    Returns:
        The id, and a note when the tokenizer has no pad token (empty otherwise).
    """
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < vocabulary:
        return tokenizer.pad_token_id, ""
    named = {"the config's pad": config_pad_id, "unk": tokenizer.unk_token_id, "eos": tokenizer.eos_token_id}
    for name, number in named.items():
        if number is not None and 0 <= number < vocabulary:
            return number, f"the tokenizer has no pad token; padded places hold {name} (id {number}) and are masked"
    return 0, "the tokenizer has no pad token; padded places hold id 0 and are masked"


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, vocabulary: int, where: str) -> None:
    """Refuses a tokenizer that can emit ids the model has no embedding for.

    Raises:
        ModelError: the largest id is not below `vocabulary`.
    """
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= vocabulary:
        raise ModelError(
            f"the tokenizer knows ids up to {largest}, the model has embeddings for 0 to {vocabulary - 1}",
            where=where,
            fix="use the tokenizer the model was trained with; Tunesmith does not resize embeddings unasked",
        )


def refuse_other_vocabulary(
    student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase, reference: str, where: str
) -> None:
    """Refuses a teacher whose token ids mean something else.

    Args:
        student: the tokenizer of what learns.
        teacher: that of the model it learns from.
        reference: how the spec names the teacher.
        where: the field that names it.

    Raises:
        ModelError: it tells how many tokens differ, and the first.
    """
    own, other = student.get_vocab(), teacher.get_vocab()
    differing = sorted(token for token in own.keys() | other.keys() if own.get(token) != other.get(token))
    if differing:
        first = differing[0]
        raise ModelError(
            f"{reference} has another vocabulary: {len(differing)} tokens differ, such as {first!r}, which is "
            f"{other.get(first, 'unknown')} to the teacher and {own.get(first, 'unknown')} to the base",
            where=where,
            fix="use a teacher of the base's own family, with the same tokenizer, or learn its written answers by sft",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
