"""Schedules: the factor by which the learning rate is multiplied at a moment of training.

`schedule(epoch, epochs)` takes the time in epochs as a float (0 at the first step, 2.5 in the middle of the third) and
the length of the run, and returns the factor. It depends on nothing else, so a resumed run goes on where it stood.

    Constant  1
    Step      factor^floor(epoch / every)
    Cosine    epoch / warmup up to `warmup`, then (1 + cos(pi t)) / 2 with t from 0 to 1 at the end of the run

Sources: Loshchilov and Hutter 2017, "SGDR", equation 5; Goyal et al. 2017, "Large minibatch SGD", section 2.2.
"""
import math

from .arguments import real


class Constant:
    """The learning rate stays as it is."""

    def __call__(self, epoch: float, epochs: float) -> float:
        return 1.0

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"schedule": "Constant"}


class Step:
    """Multiplied by `factor` after each `every` epochs."""

    def __init__(self, every: float, factor: float = 0.1):
        self.every, self.factor = real(every, "every", low=1e-9), real(factor, "factor")

    def __call__(self, epoch: float, epochs: float) -> float:
        return self.factor ** math.floor(epoch / self.every)

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"schedule": "Step", "every": self.every, "factor": self.factor}


class Cosine:
    """Rises in a straight line for `warmup` epochs, then falls along half a cosine to 0 at the end."""

    def __init__(self, warmup: float = 0):
        self.warmup = real(warmup, "warmup")

    def __call__(self, epoch: float, epochs: float) -> float:
        if epoch < self.warmup:
            return epoch / self.warmup
        if epochs <= self.warmup:
            return 1.0
        t = min(1.0, (epoch - self.warmup) / (epochs - self.warmup))
        return (1 + math.cos(math.pi * t)) / 2

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"schedule": "Cosine", "warmup": self.warmup}
