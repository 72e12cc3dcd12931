"""What goes wrong in training, in words: a loss that does not move, that blows up, that is no number any more."""

import math

from . import run_folder
from .errors import Diverged, EnvironmentProblem
from .program import program

BLOW_UP = 10.0  # an epoch's loss this many times the first batch's (or 1) is worth a warning, and never the best
STUCK = 0.02  # relative distance to ln(classes) at which a loss counts as guessing


def blown_up(row: dict, first_loss: float) -> bool:
    """Whether an epoch's loss is far above that of the very first batch."""
    return row["loss"] > BLOW_UP * max(first_loss, 1.0)


def stuck(row: dict, loss, classes: int) -> bool:
    """Whether the first epoch ended where a net that knows nothing stands: cross-entropy ln(classes).

    Both losses count: in a first epoch of slow warm-up the mean is near ln(classes), but the validation is not.
    """
    if row["epoch"] != 1 or loss.config()["loss"] != "SoftmaxCrossEntropy":
        return False
    losses = [row["loss"]] + ([row["val_loss"]] if row["val_loss"] is not None else [])
    return all(abs(value / math.log(classes) - 1) < STUCK for value in losses)


def stuck_text(classes: int, folder) -> str:
    """The warning for `stuck`."""
    level = f"{math.log(classes):.3f} = ln {classes}"
    return f"loss is at the level of guessing ({level}). {program()} check {folder}, or try another --lr."


def blown_up_text(row: dict, first_loss: float, lr: float) -> str:
    """The warning for `blown_up`."""
    return f"the loss is {row['loss']:.3g}, far above the {first_loss:.3g} of the first batch. Try --lr {lower(lr):g}."


def lower(lr: float) -> float:
    """A learning rate to try instead of one that was too high."""
    return min(lr / 10, 0.1)


def explain(error: Diverged, losses, lr: float, folder, batch: dict) -> Diverged:
    """The error with the loss's way there and what to do. losses: of the steps before.  batch: arrays to keep in the
    RunFolder.
    """
    text, least = str(error), min(losses, default=math.inf)
    if losses and losses[-1] > least:
        since = error.step - len(losses) + losses.index(least)
        text += f"; the loss grew from {least:.3g} at step {since} to {losses[-1]:.3g} at step {error.step - 1}"
    hint = f"Try --lr {lower(lr):g}."
    try:
        kept = folder.write_diverged(**batch, step=error.step)
        hint += f" The batch is in {kept}, the last good state in {folder.path / run_folder.LAST}."
    except EnvironmentProblem as problem:
        hint += f" The batch could not be kept: {problem}."
    return Diverged(text, error.step, error.layer, error.tensor, hint)
