"""What the head of a model card says to the Hugging Face hub.

Field names and values follow https://github.com/huggingface/hub-docs/blob/main/modelcard.md?plain=1.
"""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from tunesmith.evaluate.comparison import Comparison
from tunesmith.report.evidence import Evidence

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""`owner/name`; anything else is a file or a name of ours and means nothing on the hub."""
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
PIPELINES = {"summarize": "summarization", "translate": "translation"}
"""What the hub calls a task that is solved by writing; every other one is text generation."""
HUB_METRICS = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "f1", "f1_macro": "f1",
    "f1_micro": "f1", "entity_f1": "seqeval", "rouge1": "rouge", "rouge2": "rouge", "rougeL": "rouge", "bleu": "bleu",
    "chrf": "chrf", "exact_match": "exact_match", "token_f1": "f1", "perplexity": "perplexity",
}  # fmt: skip
"""Our names -> the hub's; what is not listed goes by its own name."""


def metadata(evidence: Evidence) -> ModelCardData:
    """The YAML head of the card; what is not known is left out, never guessed."""
    base = evidence.lineage.get("base") or {}
    reference = str(base.get("reference") or "")
    on_hub = reference if HUB_ID.fullmatch(reference) else None
    licence, licence_name = _licence(base.get("licence"))
    adapter = adapter_kind(evidence)
    pipeline = pipeline_tag(evidence)
    results = _results(evidence, pipeline)
    return ModelCardData(
        language=list(base.get("languages") or ()) or None,
        license=licence,
        license_name=licence_name,
        base_model=on_hub,
        base_model_relation=None if on_hub is None else "adapter" if adapter else "finetune",
        library_name="peft" if adapter else "transformers",
        pipeline_tag=pipeline,
        tags=["tunesmith", *(tag for tag in (adapter, task(evidence)) if tag)],
        datasets=_datasets(evidence) or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=str(evidence.run) if results else None,
        eval_results=results or None,
    )


def task(evidence: Evidence) -> str | None:
    """The goal's task."""
    found = (evidence.spec.get("goal") or {}).get("task")
    return str(found) if found else None


def stages(evidence: Evidence) -> list[dict[str, Any]]:
    """The training stages as resolved."""
    written = evidence.spec.get("train") or []
    return written if isinstance(written, list) else [written]


def kind_of(part: Any) -> str:
    """The name of a part as a spec holds it."""
    return str(part.get("kind", "")) if isinstance(part, dict) else str(part or "")


def adapter_kind(evidence: Evidence) -> str | None:
    """The adapter that the last stage trained; None when all weights were."""
    kind = kind_of(stages(evidence)[-1].get("adapter")) if stages(evidence) else ""
    return None if kind in ("", "full") else kind


def pipeline_tag(evidence: Evidence) -> str:
    """The hub's name for what the model does: by the objective where it has a head, else by the task."""
    objective = kind_of(stages(evidence)[-1].get("objective")) if stages(evidence) else ""
    if objective in ("classify", "tag"):
        return {"classify": "text-classification", "tag": "token-classification"}[objective]
    return PIPELINES.get(task(evidence) or "", "text-generation")


def _licence(written: str | None) -> tuple[str | None, str | None]:
    """The base's licence as the hub writes it; one that is no identifier becomes `other` with its name."""
    if not written:
        return None, None
    plain = written.strip().lower()
    return (plain, None) if LICENCE.fullmatch(plain) else ("other", written.strip())


def _datasets(evidence: Evidence) -> list[str]:
    sources = (evidence.spec.get("data") or {}).get("sources") or []
    paths = [str(source.get("path", "")) for source in sources if isinstance(source, dict)]
    files = {str(entry.get("path")) for entry in evidence.lineage.get("data") or []}
    return [path for path in paths if HUB_ID.fullmatch(path) and path not in files]


def _results(evidence: Evidence, pipeline: str) -> list[EvalResult]:
    found: Comparison | None = evidence.comparison
    if found is None:
        return []
    name = evidence.run.name
    return [
        EvalResult(
            task_type=pipeline,
            dataset_type=name,
            dataset_name=f"{name}, held-out rows",
            dataset_split="test",
            metric_type=HUB_METRICS.get(measure.name, measure.name),
            metric_name=measure.name,
            metric_value=round(value, 6),
        )
        for measure in found.measures
        if (value := measure.arms[found.arms[-1]].value) is not None
    ]
