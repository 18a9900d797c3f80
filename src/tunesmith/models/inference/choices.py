"""How likely a model finds each of many fixed answers, the prompt read once for all of them.

The choices are laid out as a tree of their common beginnings and read in one pass behind the prompt's
key-value cache; each token sees the prompt and the tokens it follows in its own choice (tree attention
as in SpecInfer, arXiv 2305.09781). Architectures that cannot do so are found out on the first prompt
and take the plain way, one row a choice.

Tensors: B prompts, T prompt tokens, V vocabulary, C choices, M nodes of the tree, E edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from tunesmith.models.inference.batching import accepted, by_length, check_prompts, nobody, pad_left, pad_right
from tunesmith.models.inference.score import score
from tunesmith.models.model import Model

_LOGITS_AT_ONCE = 2**24
"""Elements of the logits held at once."""
_SURE: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Whether an architecture reads trees right; found out once a model."""


@torch.inference_mode()
def score_choices(
    model: Model,
    prompts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[int]],
    *,
    batch: int,
    after: Callable[[int], None] = nobody,
) -> np.ndarray:
    """The log-likelihood of every choice after every prompt, summed over the choice's tokens.

    Args:
        model: with its own language head.
        prompts: token ids; not empty.
        choices: token ids, the token that ends an answer included; not empty.
        batch: prompts computed at once, fewer where the logits would be too large.
        after: called with the number of prompts done so far.

    Returns:
        [N, C] in nats; larger is likelier. Equal to minus `score` of each pair.

    Raises:
        ModelError: the model has no language head, or a prompt is empty or too long.
    """
    longest = max(map(len, choices))
    extra = longest if model.family == "causal" else 0
    check_prompts(model, prompts, [len(prompt) + extra for prompt in prompts])
    model.train(False)
    likely_NC = np.zeros((len(prompts), len(choices)))
    tree = Tree.of(choices)
    rows_at_once = min(batch, max(1, _LOGITS_AT_ONCE // (max(1, len(tree.tokens)) * model.inner.config.vocab_size)))
    done = 0
    for rows in by_length([len(prompt) for prompt in prompts], rows_at_once):
        some = [prompts[row] for row in rows]
        if model.family == "encoder_decoder":
            likely_NC[rows] = _decoded(model, some, choices)
        elif _reads_trees(model, some[0], choices, tree):
            likely_NC[rows] = _tree(model, some, tree)
        else:
            likely_NC[rows] = _plain(model, some, choices)
        done += len(rows)
        after(done)
    return likely_NC


@dataclass(frozen=True)
class Tree:
    """Choices as a tree. A node is a beginning that is read; an edge is a token that is predicted."""

    tokens: list[int]
    """[M] the last token of each node."""
    depths: list[int]
    """[M] how many tokens come before it in its choice."""
    parents: list[int]
    """[M] the node before it, -1 for the prompt."""
    edges: list[tuple[int, int]]
    """[E] (node, token): the token is predicted at the node; node -1 is the prompt's last token."""
    paths: np.ndarray
    """[E, C] 1 where an edge belongs to a choice."""

    @classmethod
    def of(cls, choices: Sequence[Sequence[int]]) -> Tree:
        """Lays out choices; beginnings that several share are kept once."""
        # A beginning is read only when some choice goes on after it.
        read = dict.fromkeys(tuple(choice[:end]) for choice in choices for end in range(1, len(choice)))
        places = {(): -1} | {beginning: place for place, beginning in enumerate(read)}
        edges = {
            tuple(choice[:end]): (places[tuple(choice[: end - 1])], choice[end - 1])
            for choice in choices
            for end in range(1, len(choice) + 1)
        }
        rows = {beginning: row for row, beginning in enumerate(edges)}
        paths = np.zeros((len(edges), len(choices)))
        for column, choice in enumerate(choices):
            paths[[rows[tuple(choice[:end])] for end in range(1, len(choice) + 1)], column] = 1
        return cls(
            tokens=[beginning[-1] for beginning in read],
            depths=[len(beginning) - 1 for beginning in read],
            parents=[places[beginning[:-1]] for beginning in read],
            edges=list(edges.values()),
            paths=paths,
        )

    def ancestry(self) -> np.ndarray:
        """[M, M] True where the row's node follows the column's node, or is it."""
        sees = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self.parents):  # parents come before their children
            if parent >= 0:
                sees[node] |= sees[parent]
        return sees


def _tree(model: Model, prompts: list[Sequence[int]], tree: Tree) -> np.ndarray:
    from transformers import DynamicCache

    ids_BT, mask_BT = pad_left(prompts, model.pad_id, model.device)
    lengths_B1 = mask_BT.sum(dim=1, keepdim=True)
    cache = DynamicCache(config=model.inner.config)
    positions_BT = (mask_BT.cumsum(dim=1) - 1).clamp(min=0)
    output = model.module(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
        **accepted(model, logits_to_keep=1),
    )
    logits_BMV = output.logits[:, -1:].float()
    if tree.tokens:
        count, dtype = len(prompts), output.logits.dtype
        sees_MM = torch.from_numpy(tree.ancestry()).to(model.device).expand(count, -1, -1)
        sees_BMT = mask_BT.bool()[:, None, :].expand(-1, len(tree.tokens), -1)
        hidden_B1MT = ~torch.cat([sees_BMT, sees_MM], dim=2)[:, None]
        bias_B1MT = torch.zeros(hidden_B1MT.shape, dtype=dtype, device=model.device)
        bias_B1MT.masked_fill_(hidden_B1MT, torch.finfo(dtype).min)
        said = model.module(
            input_ids=torch.tensor(tree.tokens, device=model.device).expand(count, -1),
            attention_mask=bias_B1MT,
            position_ids=lengths_B1 + torch.tensor(tree.depths, device=model.device),
            past_key_values=cache,
            use_cache=True,
        )
        logits_BMV = torch.cat([logits_BMV, said.logits.float()], dim=1)
    nodes, tokens = zip(*tree.edges, strict=True)
    at = torch.tensor(nodes, device=model.device) + 1  # row 0 is the prompt's last token
    totals_BM = logits_BMV.logsumexp(dim=-1)
    likely_BE = logits_BMV[:, at, torch.tensor(tokens, device=model.device)] - totals_BM[:, at]
    summed: np.ndarray = likely_BE.cpu().double().numpy() @ tree.paths
    return summed


def _decoded(model: Model, prompts: list[Sequence[int]], choices: Sequence[Sequence[int]]) -> np.ndarray:
    """Encodes each prompt once and lets the decoder read all choices."""
    from transformers.modeling_outputs import BaseModelOutput

    ids_BT, mask_BT = pad_right(prompts, model.pad_id, model.device)
    encoded_BTD = model.hidden(ids_BT, mask_BT)
    choices_CS, real_CS = pad_right(choices, model.pad_id, model.device)
    likely = []
    for encoded_TD, mask_T in zip(encoded_BTD, mask_BT, strict=True):
        output = model.module(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded_TD.expand(len(choices), -1, -1)),
            attention_mask=mask_T.expand(len(choices), -1),
            decoder_input_ids=model.shift_right(choices_CS),
            use_cache=False,
        )
        likely_CS = output.logits.float().log_softmax(dim=-1).gather(2, choices_CS[:, :, None])[:, :, 0]
        likely.append((likely_CS * real_CS).sum(dim=1).cpu().numpy())
    return np.stack(likely)


def _plain(model: Model, prompts: list[Sequence[int]], choices: Sequence[Sequence[int]]) -> np.ndarray:
    pairs = [(prompt, choice) for prompt in prompts for choice in choices]
    nll = score(model, [prompt for prompt, _ in pairs], [choice for _, choice in pairs], batch=len(choices))
    return -np.array(nll).reshape(len(prompts), len(choices))


def _reads_trees(model: Model, prompt: Sequence[int], choices: Sequence[Sequence[int]], tree: Tree) -> bool:
    if model.module not in _SURE:
        _SURE[model.module] = _measure(model, prompt, choices, tree)
    return _SURE[model.module]


def _measure(model: Model, prompt: Sequence[int], choices: Sequence[Sequence[int]], tree: Tree) -> bool:
    config: Any = model.inner.config
    layers = getattr(config, "layer_types", None) or ["full_attention"]
    # A window looks back over columns, and a tree's columns are not in the order of its texts.
    if set(layers) != {"full_attention"} or not accepted(model, position_ids=None):
        return False
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return False
    found_C, right_C = _tree(model, [prompt], tree)[0], _plain(model, [prompt], choices)[0]
    tolerance = 1e-4 if next(model.module.parameters()).dtype == torch.float32 else 3e-2
    return bool(np.abs(found_C - right_C).max() <= tolerance * np.abs(right_C).max())
