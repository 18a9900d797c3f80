"""What a config says of a model: its family, its context, and the transformers class that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from tunesmith.errors import ModelError
from tunesmith.models.quiet import quiet
from tunesmith.models.references import read_json_file, refuse_code

Family = Literal["causal", "encoder", "encoder_decoder"]
HeadKind = Literal["lm", "classify", "tag"]
FAMILIES = get_args(Family)

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text")
"""Their positions start after the pad id, so that many rows of the table are never reached."""
_UNBOUNDED = 1_000_000
"""Tokenizers without a limit say a huge number; anything above this is no limit."""
_RELATIVE_CONTEXT = 1024
"""For models whose positions are relative (T5) and whose tokenizer names no limit."""


def read_config(folder: Path) -> Any:
    """Reads `config.json` as a transformers config.

    Raises:
        ModelError: missing, damaged, of an unknown type, quantised, or in need of code of its own.
    """
    from transformers import AutoConfig

    path = folder / "config.json"
    written = read_json_file(path, "a model with config.json and model.safetensors")
    refuse_code(written, path)
    if written.get("quantization_config"):
        raise ModelError(
            "the model is already quantised",
            where=str(path),
            fix="start from the model in full precision; its maker publishes it beside this one",
        )
    if "model_type" not in written:
        raise ModelError("the config names no model_type", where=str(path), fix="fetch the folder again")
    try:
        with quiet():
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Configs check themselves with whatever exception their author chose.
    except Exception as error:
        raise ModelError(
            f"the config of type {written['model_type']!r} cannot be used: {_first_line(error)}",
            where=str(path),
            fix="use an architecture that this version of transformers knows, or mend the config",
        ) from error


def family_of(config: Any) -> Family:
    """Which of the three families a config belongs to.

    Raises:
        ModelError: it is no text model of these families.
    """
    from transformers.models.auto import modeling_auto as auto

    name = config.model_type
    if config.is_encoder_decoder and name in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "encoder_decoder"
    masked, causal = auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # BERT and its kin are in both tables; the checkpoint's own class decides.
    said = (getattr(config, "architectures", None) or [""])[0]
    decodes = getattr(config, "is_decoder", False) or said.endswith(("ForCausalLM", "LMHeadModel"))
    if name in causal and not config.is_encoder_decoder and (name not in masked or decodes):
        return "causal"
    if name in masked and not config.is_encoder_decoder:
        return "encoder"
    raise ModelError(
        f"models of type {name!r} are neither causal, encoder nor encoder-decoder text models",
        where=str(getattr(config, "_name_or_path", "")),
        fix="use a text model such as Llama, Qwen, BERT, ModernBERT, T5 or BART",
    )


def model_class(family: Family) -> Any:
    """The transformers auto class that holds every model of a family, whatever head of ours sits on it."""
    import transformers

    return {
        "causal": transformers.AutoModelForCausalLM,
        "encoder": transformers.AutoModel,
        "encoder_decoder": transformers.AutoModelForSeq2SeqLM,
    }[family]


def context_of(config: Any, tokenizer_limit: int) -> int:
    """The longest sequence, in tokens: the smaller of what positions and tokenizer allow."""
    table = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if isinstance(table, int) and config.model_type in _OFFSET_POSITIONS:
        table -= (config.pad_token_id or 0) + 1
    limits = [limit for limit in (table, tokenizer_limit) if isinstance(limit, int) and 0 < limit < _UNBOUNDED]
    return min(limits, default=_RELATIVE_CONTEXT)


def vocabulary_of(config: Any) -> int:
    """Rows of the embedding."""
    return int(config.get_text_config().vocab_size)


def check_head(family: Family, head: str, where: str) -> None:
    """Refuses a head that a family cannot have.

    Raises:
        ModelError: an encoder is asked to generate.
    """
    if family == "encoder" and head == "lm":
        raise ModelError(
            "an encoder cannot generate text",
            where=where,
            fix="train it with the objective classify or tag, or choose a causal or encoder-decoder base",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
