"""last.safetensors: everything that is needed to go on as if nothing had happened.

Arrays: what Trainer.state() gives (weights, running statistics, the optimizer's slots, the step), and under "best/" the
best weights so far. Document: the net's description, the recipe, the data's fingerprint, and the Progress below. The
order of the images and the masks of dropout are functions of (seed, epoch, sample) and need not be saved. JSON keeps
floats exactly (Python writes the shortest text that reads back as the same float64).
"""

from dataclasses import asdict, dataclass, field
from itertools import zip_longest

import numpy as np

from . import model_file, tensor_file
from .errors import DataError
from .recipe import Recipe
from .sequential import Sequential
from .strict_json import Fields

BEST = "best/"
NUMBER = (int, float)


@dataclass
class Progress:
    """Where a run stands, between two steps.

    epoch: epochs that are done.  step: batches of the next one that are done; `loss_sum` (loss times images), `images`
    and `seconds` are theirs.  first_loss: of the very first batch.  history: a row for each epoch.  best: the row of
    the epoch whose weights are kept, or None.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    history: list[dict] = field(default_factory=list)
    best: dict | None = None

    def end_epoch(self, row: dict) -> None:
        """Add the epoch's row; the next one begins."""
        self.history.append(row)
        self.epoch, self.step = row["epoch"], 0
        self.loss_sum, self.images, self.seconds = 0.0, 0, 0.0


@dataclass
class Checkpoint:
    """What `load` gives. net: built and filled.  state: for Trainer.load_state.  best: tensors of the best weights, or
    None.
    """

    net: Sequential
    recipe: Recipe
    progress: Progress
    fingerprint: str
    state: dict[str, np.ndarray]
    best: dict[str, np.ndarray] | None


def save(path, description: dict, recipe: Recipe, progress: Progress, fingerprint: str, state: dict, best: dict | None) -> None:
    """Write a checkpoint; the arguments are those of Checkpoint, and `description` that of model_file.describe."""
    document = {
        **model_file.head("checkpoint"),
        **description,
        "recipe": recipe.config(),
        "progress": asdict(progress),
        "fingerprint": fingerprint,
    }
    tensor_file.write(path, state | {BEST + name: array for name, array in (best or {}).items()}, document)


def load(path, layers=()) -> Checkpoint:
    """Read a checkpoint. layers: classes of own layers. Raises UsageError, EnvironmentProblem, DataError as open_model
    does.
    """
    document, tensors = tensor_file.read(path)
    where = str(path)
    fields = Fields(document, where)
    model_file.check_head(fields, "checkpoint")
    net = model_file.build(fields, layers)
    recipe = Recipe.from_config(fields.take("recipe", dict), f"{where}: recipe")
    progress = _progress(fields.take("progress", dict), f"{where}: progress")
    fingerprint = fields.take("fingerprint", str)
    fields.done()
    best = {name.removeprefix(BEST): array for name, array in tensors.items() if name.startswith(BEST)}
    state = {name: array for name, array in tensors.items() if not name.startswith(BEST)}
    if bool(best) != (progress.best is not None):
        raise DataError(f"{where}: best weights and their record do not belong together")
    if best:
        model_file.fill(net, best, where)
    model_file.fill(net, {name: array for name, array in state.items() if name.startswith(("params/", "state/"))}, where)
    return Checkpoint(net, recipe, progress, fingerprint, state, best or None)


def check_same_net(net: Sequential, saved: Sequential, where) -> None:
    """Refuse a net that is not the checkpoint's; the message names the first difference."""
    ours, theirs = model_file.describe(net), model_file.describe(saved)
    for key in ("input_shape", "dtype"):
        if ours[key] != theirs[key]:
            raise DataError(f"{where}: made with another net: {key} {theirs[key]} there, {ours[key]} here")
    pairs = zip_longest(theirs["layers"], ours["layers"])
    for number, (there, here) in enumerate(pairs, 1):
        if there != here:
            raise DataError(f"{where}: made with another net: layer {number} is {_layer(there)} there, {_layer(here)} here")


def _layer(spec) -> str:
    if spec is None:
        return "missing"
    arguments = ", ".join(f"{name}={value}" for name, value in spec.items() if name != "layer")
    return f"{spec['layer']}({arguments:.100})"


def _progress(value, where: str) -> Progress:
    fields = Fields(value, where)
    counts = {name: fields.take(name, int, lambda n: n >= 0, "0 or more") for name in ("epoch", "step", "images")}
    sums = {name: fields.take(name, NUMBER) for name in ("loss_sum", "seconds")}
    first_loss = fields.take("first_loss", (*NUMBER, type(None)))
    history = fields.take("history", list, lambda rows: len(rows) == counts["epoch"], f"a list of {counts['epoch']} rows")
    for row in history:
        _check_row(row, where)
    best = fields.take("best", (dict, type(None)))
    if best is not None:
        _check_row(best, where)
    fields.done()
    return Progress(**counts, **sums, first_loss=first_loss, history=history, best=best)


def _check_row(row, where: str) -> None:
    fields = Fields(row, f"{where}: history")
    fields.take("epoch", int)
    for name in ("loss", "lr", "seconds"):
        fields.take(name, NUMBER)
    for name in ("val_loss", "val_accuracy"):
        fields.take(name, (*NUMBER, type(None)))
    fields.done()
