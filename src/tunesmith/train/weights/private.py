"""Differentially private training, DP-SGD (Abadi et al. 2016, arXiv 1607.00133).

Every step learns from rows that are drawn by chance, each with the same and by itself (Poisson). The gradient of each
row is shortened to a bound, their sum gets Gaussian noise in proportion to the bound, and it is divided by how many
rows are drawn on average. What one row can do to the model is then counted by Opacus' accountant (Gopi et al. 2021,
arXiv 2106.02848), for models that differ by one row more or less.

Noise and draws come from a secret that the machine draws when the training begins; it lies with the checkpoints, so
that an interrupted training goes on exactly, and is deleted with them. They are made by PyTorch's and NumPy's
generators, which are no cryptographic ones, and in floating point: the promise holds against those who see the model,
not against those who could predict the generators.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.errors import GateFailed, MissingDependency
from tunesmith.runs import read_json, write_json
from tunesmith.spec.quantity import Batch
from tunesmith.train.order.batches import Batches, Micro
from tunesmith.train.order.horizon import Horizon, Position

if TYPE_CHECKING:
    from tunesmith.spec.sections import Train

SECRET = "secret.json"
"""Beside the checkpoints."""
SLACK = 0.004
"""Of the accountant: how far, as a share of epsilon, it may be too careful."""
NEAR, TRIES = 0.995, 12
"""Noise is chosen so that at least this share of epsilon is spent, in at most so many tries."""


@dataclass(frozen=True)
class Spent:
    """What a private training promises of every single training row."""

    epsilon: float
    delta: float
    noise: float
    """Standard deviation of the noise over `clip`."""
    clip: float
    rate: float
    """The chance of a row to be drawn for a step."""
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Drawn(Batches):
    """Steps of rows drawn by chance, each row with the same and by itself, computed one by one."""

    def __init__(self, lengths: Sequence[int], *, rows: float, secret: int) -> None:
        super().__init__(lengths, batch=Batch(rows, "rows"), seed=0)
        self.rows, self.rate, self.secret = rows, rows / len(lengths), secret

    def _epoch(self, number: int) -> list[list[Micro]]:
        random = np.random.default_rng(_number(self.secret, "rows", number))
        count = max(1, math.ceil(1 / self.rate - 1e-9))
        steps = [np.flatnonzero(random.random(len(self.lengths)) < self.rate) for _ in range(count)]
        return [[[row] for row in rows.tolist()] for rows in steps]


class Noisy:
    """Shortens gradients of rows and sums them up with noise.

    Args:
        batches: the rows of every step.
        clip: the longest gradient of a row.
        noise: standard deviation over `clip`.
    """

    def __init__(self, batches: Drawn, clip: float, noise: float) -> None:
        self.batches, self.clip, self.noise = batches, clip, noise
        self._sums: dict[str, Tensor] = {}

    @classmethod
    def of(cls, train: Train, lengths: Sequence[int], folder: Path) -> Noisy:
        """What a resolved private stage needs to keep its promise.

        Args:
            train: the stage.
            lengths: tokens of each training row.
            folder: of its checkpoints, where its secret is kept.
        """
        assert train.batch, "a resolved stage"
        promised = spent(train, lengths)
        batches = Drawn(lengths, rows=train.batch.value, secret=secret_in(folder))
        return cls(batches, promised.clip, promised.noise)

    @torch.no_grad()
    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the gradient of one row from the weights, shortened, and leaves them without."""
        found = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        norm = torch.nn.utils.get_total_norm(list(found.values()))
        scale = (self.clip / norm.clamp_min(1e-12)).clamp_max(1.0)
        for name, gradient in found.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(gradient)
            self._sums[name].addcmul_(gradient, scale)
            weights[name].grad = None

    @torch.no_grad()
    def give(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Gives the weights the mean of what was taken, with noise; every one of them, whether or not a row touched it.

        Args:
            weights: all that train.
            step: from 0; each has noise of its own.
        """
        random = torch.Generator().manual_seed(_number(self.batches.secret, "noise", step))
        for name, weight in weights.items():
            noise = torch.randn(weight.shape, generator=random, dtype=torch.float32) * (self.noise * self.clip)
            noise = noise.to(weight.device, weight.dtype)
            weight.grad = (noise + self._sums.pop(name) if name in self._sums else noise).div_(self.batches.rows)


def secret_in(folder: Path) -> int:
    """The secret of a training, drawn when it begins."""
    path = folder / SECRET
    if not path.exists():
        write_json(path, {"secret": secrets.randbits(128)})
        path.chmod(0o600)
    return int(read_json(path)["secret"])


def _number(secret: int, *names: object) -> int:
    """63 bits that nobody without the secret knows."""
    said = blake2b(repr(names).encode(), key=secret.to_bytes(16, "big"), digest_size=8).digest()
    return int.from_bytes(said, "big") >> 1


# Accounting -------------------------------------------------------------------------------------


def rate_of(train: Train, rows: int) -> float:
    """The chance of each of some rows to be drawn for a step.

    Raises:
        GateFailed: a batch would hold more than there are.
    """
    assert train.batch is not None, "a resolved stage has a batch"
    if train.batch.value > rows:
        raise GateFailed(
            f"{train.batch} cannot be drawn of {rows} training rows",
            where="train.batch",
            fix="write fewer; the smaller the share that is drawn, the less noise is needed",
        )
    return train.batch.value / rows


@lru_cache
def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The least noise that keeps a training of so many steps within (epsilon, delta), to half a percent.

    Raises:
        MissingDependency: Opacus is not installed.
        GateFailed: no noise does.
    """
    needs_opacus()
    from opacus.accountants.utils import get_noise_multiplier

    asked = {"target_epsilon": epsilon, "target_delta": delta, "sample_rate": rate, "steps": steps}
    try:
        with _careful():
            # Renyi accounting is quick, and asks for somewhat more than is needed.
            high = float(get_noise_multiplier(**asked, accountant="rdp"))
    except ValueError as error:
        raise GateFailed(
            f"no noise keeps {steps} steps within epsilon {epsilon:g} at delta {delta:g}",
            where="train.regularize.private",
            fix="train for fewer steps, in smaller batches, or allow more",
        ) from error
    # Epsilon falls about as a power of the noise: the line through two points of its logarithm leads to the next.
    below, above = (high, epsilon_of(high, rate, steps, delta, epsilon)), (0.0, math.inf)
    for _ in range(TRIES):
        if below[1] >= epsilon * NEAR:
            break
        aim = math.log(epsilon * (1 + NEAR) / 2)
        if above[0]:
            (right, lower), (left, upper) = ((math.log(noise), math.log(found)) for noise, found in (below, above))
            guess = math.exp(left + (upper - aim) / (upper - lower) * (right - left))
        else:
            guess = below[0] * max(0.7, math.exp((math.log(below[1]) - aim) * 0.9))
        found = epsilon_of(guess, rate, steps, delta, epsilon)
        below, above = ((guess, found), above) if found <= epsilon else (below, (guess, found))
    return below[0]


def spent(train: Train, lengths: Sequence[int], done: int | None = None) -> Spent:
    """What a training promises.

    Args:
        train: its stage.
        lengths: tokens of each training row.
        done: steps it took, fewer than planned where it stopped early; all when left out.
    """
    private, rate = train.regularize.private, rate_of(train, len(lengths))
    assert private and private.delta and train.batch and train.duration, "a resolved private stage"
    planned = Horizon(train.duration, Drawn(lengths, rows=train.batch.value, secret=0)).total(Position())
    noise = noise_for(private.epsilon, private.delta, rate, planned)
    steps = planned if done is None else done
    epsilon = epsilon_of(noise, rate, steps, private.delta, private.epsilon) if steps else 0.0
    return Spent(epsilon, private.delta, noise, private.clip, rate, steps)


def epsilon_of(noise: float, rate: float, steps: int, delta: float, near: float) -> float:
    """What some steps give away at the most.

    Args:
        noise: standard deviation over the longest gradient of a row.
        rate: the chance of a row to be drawn for a step.
        steps: how many.
        delta: the chance of more.
        near: about what is expected; decides how finely the accountant counts.
    """
    needs_opacus()
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(noise, rate, steps)]
    with _careful():
        return float(accountant.get_epsilon(delta, eps_error=SLACK * near))


def needs_opacus() -> None:
    """Refuses to promise what nobody counts.

    Raises:
        MissingDependency: Opacus is not installed.
    """
    if find_spec("opacus") is None:
        raise MissingDependency("opacus", extra="private", needed_by="train.regularize.private")


@contextmanager
def _careful() -> Iterator[None]:
    """Opacus warns where its orders could give a tighter bound; a bound it is all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refuse_pieces(num_examples: int, num_rows: int) -> None:
    """A row that is learned in several pieces may show by more than was counted.

    Raises:
        GateFailed: rows were cut into more examples than there are rows.
    """
    if num_examples > num_rows:
        raise GateFailed(
            f"{num_rows} rows are learned in {num_examples} pieces, and a private training counts each piece as a row",
            where="data.max_length",
            fix="write a max_length that holds every row, or `too_long: drop`",
        )
