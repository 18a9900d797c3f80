"""The table of machines: what is in it, and how a workspace mends it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tunesmith.errors import NotFound, UserError
from tunesmith.scale.instances import FILE, find_instance, instances

NAMED = [
    "p4d.24xlarge", "p5.48xlarge", "g5.xlarge", "g6.xlarge", "a3-highgpu-8g", "a2-highgpu-1g", "g2-standard-4",
    "Standard_ND96asr_v4", "Standard_ND96amsr_A100_v4", "Standard_ND96isr_H100_v5", "Standard_NC24ads_A100_v4",
]  # fmt: skip


def test_the_table_holds_what_was_asked_for(tmp_path: Path) -> None:
    found = {instance.name: instance for instance in instances(tmp_path)}
    assert set(NAMED) <= set(found)
    big = found["a3-highgpu-8g"]
    assert (big.gpu.kind, big.count, big.gpu.memory_gb) == ("H100-80GB", 8, 80)
    for instance in found.values():
        assert isinstance(instance.as_of, date), "prices have a date, and say what they rest on"
        assert any(word in instance.source for word in ("remembered", "price interface", "billing catalogue"))
        spot = instance.price(spot=True)
        assert spot is not None and spot < instance.price(spot=False)  # type: ignore[operator]
    assert found["g5.xlarge"].to_json()["as_of"] == "2025-07-01"
    looked_up = found["p4d.24xlarge"]
    assert looked_up.as_of == date(2026, 11, 9) and "remembered" in looked_up.source  # its spot price is


def test_a_workspace_mends_and_adds(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        "as_of: 2026-11-01\nsource: our contract\ngpus: {B200: {memory_gb: 180, tflops: 2250}}\ninstances:\n"
        "  - {name: g5.xlarge, on_demand: 0.5}\n  - {name: p5.48xlarge, on_demand: 40, as_of: 2026-11-02}\n"
        "  - {name: ours, cloud: other, gpu: B200, count: 2, host_gb: 500, on_demand: 3}\n"
    )
    mended, ours = find_instance("g5.xlarge", tmp_path), find_instance("ours", tmp_path)
    assert (mended.on_demand, mended.spot, mended.gpu.kind) == (0.5, 0.45, "A10G"), "the rest stays"
    assert (mended.as_of, mended.source) == (date(2026, 11, 1), "our contract")
    big = find_instance("p5.48xlarge", tmp_path)
    assert (big.as_of, big.source) == (date(2026, 11, 2), "our contract"), "a date of its own, and no source of before"
    assert ours.price(spot=True) is None and ours.gpu.tflops == 2250
    assert find_instance("g6.xlarge", tmp_path).as_of == date(2025, 7, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("instances: []\n", "as_of"),
        ("as_of: 2026-11-01\nsource: us\ninstances: [{name: new, on_demand: 3}]\n", "cloud"),
        ("as_of: 2026-11-01\nsource: us\ninstances: [{name: g5.xlarge, on_demand: -3}]\n", "on_demand"),
        ("as_of: 2026-11-01\nsource: us\ninstances: [{name: g5.xlarge, price: 3}]\n", "price"),
        ("as_of: 2026-11-01\nsource: us\ninstances: [{name: g5.xlarge, gpu: Z9}]\n", "'Z9'"),
        ("as_of: [\n", "flow"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=r"instances\.yaml") as raised:
        instances(tmp_path)
    assert said in raised.value.what


def test_an_unknown_name_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"p5\.48xlarge"):
        find_instance("p6", tmp_path)
