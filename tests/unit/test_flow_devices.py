"""When layers are cut into shards, and what refuses to be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tunesmith.data.encode.example import Example
from tunesmith.errors import ModelError
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.training import settle as settling
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.qlora import Qlora
from tunesmith.models.facts import base_facts
from tunesmith.models.load import open_model
from tunesmith.spec.quantity import Batch, Duration, Every
from tunesmith.spec.sections import Freeze, Train
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.adafactor import Adafactor
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.optimizers.adamw8bit import AdamW8bit
from tunesmith.train.weights.ranks import Ranks


class Two(Ranks):
    """Two processes that see the same."""

    def told(self, value):
        return [value, value]


TWO = Two(0, 2)
IDS = np.arange(16, dtype=np.int32)
ROWS = [Example("r", IDS, IDS > 8, np.zeros(16, np.uint8))]


def stage(**changes):
    plain = {"objective": Sft(), "adapter": Full(), "optimizer": AdamW(lr=1e-3), "precision": "fp32"}
    return Train.model_validate(
        {**plain, "duration": Duration(1, "epochs"), "batch": Batch(4, "rows"), **changes}, strict=False
    )


@pytest.fixture
def settle(bench, monkeypatch):
    model = open_model("llama", workspace=bench, head="lm")
    request = SimpleNamespace(base=base_facts("llama", workspace=bench), teachers={})

    def settle(written, *, free, ranks=TWO, **changes):
        monkeypatch.setattr(settling, "free_memory", lambda: free)
        said = []
        narrator = Narrator(lambda event: said.append(event["text"]))
        beginning = settling.Beginning(request, model, stage(**changes), ROWS, (), narrator, ranks)
        return beginning._shards(written), said

    return settle


def test_auto_cuts_only_where_a_step_would_not_fit(settle):
    assert settle("auto", free=10**12) == (False, [])
    cut, said = settle("auto", free=10**6)
    assert cut and "so layers are cut into shards" in said[0]
    # Processes of one machine's CPU share its memory.
    needed = float(said[0].split()[4]) * 1e9
    assert settle("auto", free=int(1.5 * needed))[0] and not settle("auto", free=int(2.5 * needed))[0]


def test_written_is_done_whatever_is_free(settle):
    assert settle("full", free=10**12) == (True, [])
    assert settle("off", free=10**6) == (False, [])


def test_one_process_cuts_nothing(settle):
    assert settle("auto", free=10**6, ranks=Ranks()) == (False, [])


REFUSED = {
    "qlora": {"adapter": Qlora()},
    "adafactor": {"optimizer": Adafactor(lr=1e-2)},
    "adamw8bit": {"optimizer": AdamW8bit(lr=1e-3)},
    "unfreeze": {"freeze": Freeze(layers=1, unfreeze=Every(1, "steps"))},
    "cache": {"freeze": Freeze(layers=1, cache="memory")},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_cut_is_refused_by_name_and_never_cut_by_itself(settle, changes):
    with pytest.raises(ModelError, match="the layers cannot be cut into shards: ") as raised:
        settle("full", free=10**12, **changes)
    assert raised.value.where == "scale.shard"
    reason = raised.value.what.partition("shards: ")[2]
    cut, said = settle("auto", free=10**6, **changes)
    assert not cut and said[0].endswith(f"and {reason}")
