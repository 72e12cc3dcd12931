"""What a user's kernels change for a whole training step: steps with and without them in turn, on copies of one net.

Both copies train on the same batch with a learning rate of 0, so their weights stay what they are. Which of the two goes
first changes from round to round.
"""
from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from ..trainer import Trainer
from . import own_kernel
from .twin import twin
from .verdict import compare

SECONDS = 2.0               # of measuring, about
FEWEST, MOST = 3, 200       # rounds


@dataclass(frozen=True)
class Gain:
    """with_it, without: median seconds of a step.  ratio: the first over the second, round by round (verdict.py), which a
    machine that is busy for a while moves less than the medians.  verdict: SAME, FASTER, SLOWER or UNCLEAR, of the step
    with the kernels.
    """

    with_it: float
    without: float
    ratio: float
    verdict: str
    rounds: int
    threads: int

    def record(self) -> dict:
        """Plain data for run.json."""
        return asdict(self)

    def sentence(self, own: list[own_kernel.OwnKernel]) -> str:
        """The answer in words."""
        names, them = ("kernels", "them") if len(own) > 1 else ("kernel", "it")
        return (f"{names} {', '.join(map(str, own))}: a training step takes {_ms(self.with_it)} with {them}, {_ms(self.without)} "
                f"without; round by round {self.ratio:.2f} times as long ({self.verdict})")


def measure(own: list[own_kernel.OwnKernel], net, x, labels, recipe, threads: int | None, seconds: float) -> Gain:
    """Steps of `net` on the batch x with the recipe's optimizer and loss, for about `seconds`."""
    sides = [(Trainer(twin(net, threads), recipe.optimizer, recipe.loss), ours) for ours in (False, True)]
    for trainer, _ in sides:
        trainer.lr = 0.0
    times: list[list[float]] = [[], []]

    def step(side: int) -> float:
        trainer, ours = sides[side]
        with own_kernel.use(own) if ours else nullcontext():
            start = time.perf_counter()
            trainer.step(x, labels)
            return time.perf_counter() - start

    with own_kernel.blame(own):
        for side in (0, 1):
            step(side)                  # compiles, and fills the pools
        start = time.perf_counter()
        while (rounds := len(times[0])) < FEWEST or (time.perf_counter() - start < seconds and rounds < MOST):
            for side in (0, 1) if rounds % 2 == 0 else (1, 0):
                times[side].append(step(side))
    said = compare(*times)
    without, with_it = (sorted(one)[len(one) // 2] for one in times)
    return Gain(with_it, without, said.ratio, said.word, len(times[0]), sides[0][0].engine.threads)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
