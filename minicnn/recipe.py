"""How a net is trained: everything that, with the data and the first weights, determines the final weights.

A Recipe is written into every checkpoint and into run.json, and is read back to go on.
"""

from dataclasses import dataclass, field, replace

from . import losses, optim, schedules
from .errors import DataError
from .strict_json import Fields

# kind -> name -> class: what a checkpoint may name.
KINDS = {
    "optimizer": {one.__name__: one for one in (optim.SGD, optim.Adam, optim.AdamW)},
    "schedule": {one.__name__: one for one in (schedules.Constant, schedules.Step, schedules.Cosine)},
    "loss": {one.__name__: one for one in (losses.SoftmaxCrossEntropy, losses.MeanSquaredError)},
}


def default_optimizer() -> optim.SGD:
    """What `fit` uses where nothing else is asked for: slow enough for a wide head behind batch norm."""
    return optim.SGD(0.02, momentum=0.9)


@dataclass
class Recipe:
    """epochs: the length of the run.  batch: images a step.  seed: of the order of images and of dropout.  stop_after:
    epochs without a better validation loss after which the run ends, or None.  extended: earlier lengths of a run that
    was given more epochs, as {"epochs", "at_epoch", "at_step"}.

    Raises ValueError for numbers that make no run.
    """

    epochs: int = 10
    batch: int = 64
    seed: int = 0
    stop_after: int | None = None
    optimizer: object = field(default_factory=default_optimizer)
    schedule: object = field(default_factory=schedules.Constant)
    loss: object = field(default_factory=losses.SoftmaxCrossEntropy)
    extended: list = field(default_factory=list)

    def __post_init__(self):
        for name in ("epochs", "batch", "stop_after"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
        if type(self.seed) is not int or not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, got {self.seed!r}")
        if not self.optimizer.lr > 0:
            raise ValueError(f"lr must be above 0, got {self.optimizer.lr}")

    def lr(self, epoch: float) -> float:
        """The learning rate at a time in epochs."""
        return self.optimizer.lr * self.schedule(epoch, self.epochs)

    def config(self) -> dict:
        """Plain data, from which `from_config` makes an equal recipe."""
        return {
            "epochs": self.epochs,
            "batch": self.batch,
            "seed": self.seed,
            "stop_after": self.stop_after,
            "optimizer": self.optimizer.config(),
            "schedule": self.schedule.config(),
            "loss": self.loss.config(),
            "extended": self.extended,
        }

    @classmethod
    def from_config(cls, value, where: str) -> "Recipe":
        """Raises DataError that begins with `where`."""
        fields = Fields(value, where)
        numbers = {name: fields.take(name, int) for name in ("epochs", "batch", "seed")}
        stop_after = fields.take("stop_after", (int, type(None)))
        configs = {kind: fields.take(kind, dict) for kind in KINDS}
        extended = fields.take("extended", list)
        fields.done()
        try:
            objects = {kind: _make(kind, configs[kind]) for kind in KINDS}
            return cls(**numbers, stop_after=stop_after, **objects, extended=extended)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: {error}") from None

    def longer(self, epochs: int, epoch: int, step: int) -> "Recipe":
        """The same with another length, from `step` of `epoch` (both from 0) on; remembers where the length changed."""
        before = {"epochs": self.epochs, "at_epoch": epoch, "at_step": step}
        return replace(self, epochs=epochs, extended=[*self.extended, before])


def _make(kind: str, config: dict):
    arguments = dict(config)
    name = arguments.pop(kind, None)
    if not isinstance(name, str) or name not in KINDS[kind]:
        raise ValueError(f"no {kind} {name!r}; known: {', '.join(KINDS[kind])}")
    return KINDS[kind][name](**arguments)
