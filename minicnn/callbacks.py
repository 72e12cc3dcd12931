"""What `fit` tells while it trains."""


class Callback:
    """Base class; each method does nothing until it is overridden.

    `loop` is the training_loop.TrainingLoop: progress, recipe, steps (batches an epoch), net, data, folder.
    `row` is the epoch's line of the log: epoch (from 1), loss, val_loss, val_accuracy, lr, seconds.
    """

    def on_start(self, loop) -> None:
        """Before the first step of this process."""

    def on_step(self, loop) -> None:
        """After a step and its update."""

    def on_epoch(self, loop, row: dict) -> None:
        """After an epoch was validated and saved."""

    def on_warning(self, loop, text: str) -> None:
        """Something the user should know, in one line; training goes on."""


class _Function(Callback):
    def __init__(self, function):
        self.function = function

    def on_epoch(self, loop, row):
        self.function(row)


def as_callback(one) -> Callback:
    """A Callback as it is; a function as one that is called with each epoch's row."""
    if isinstance(one, Callback):
        return one
    if not callable(one):
        raise TypeError(f"a callback is a function of an epoch's row or a Callback, got {type(one).__name__}")
    return _Function(one)
