"""`fit` starts a run in a new folder, `resume` goes on with one; the loop is training_loop.py's."""

from . import checkpoint, run_folder
from .data import Dataset
from .errors import DataError, UsageError
from .layers.chain import flatten
from .recipe import Recipe
from .run import Run, check_fingerprint
from .run_folder import RunFolder
from .sequential import Sequential
from .training_loop import TrainingLoop


def fit(
    net: Sequential,
    data: Dataset,
    epochs: int = 10,
    batch: int = 64,
    optimizer=None,
    schedule=None,
    loss=None,
    callbacks=(),
    out="runs/",
    *,
    name: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    stop_after: int | None = None,
    origin: dict | None = None,
) -> Run:
    """Train `net` on data.train, watch it on data.val, and keep everything in a new folder under `out`.

    optimizer: SGD(0.02, momentum=0.9) by default.  schedule: Constant().  loss: SoftmaxCrossEntropy().  callbacks:
    functions of an epoch's row, or Callback objects.  name: of the run folder.  seed: of the order of images and of
    dropout.  stop_after: end after so many epochs without a better validation loss.  origin: for run.json, {"net":
    name, "data": {"source": ..., ...}}.

    Afterwards `net` has the weights of the last step; the best ones are in the run's model.safetensors.
    Raises ValueError (numbers that make no run), DataError (net and data do not fit), EnvironmentProblem (no folder, or
    a disk that is full at the end), Diverged, signals.Interrupted (a KeyboardInterrupt: SIGINT or SIGTERM came; the run
    can go on).
    """
    chosen = {"optimizer": optimizer, "schedule": schedule, "loss": loss}
    recipe = Recipe(epochs, batch, seed, stop_after, **{kind: one for kind, one in chosen.items() if one is not None})
    _check_fit(net, data)
    net.classes, net.preprocessing = list(data.classes), data.preprocessing
    origin = origin or {}
    with RunFolder.create(out, f"{origin.get('net', {}).get('name', 'net')}-{data.name}", name) as folder:
        return TrainingLoop(net, data, recipe, folder, callbacks, threads, origin).run()


def resume(
    path,
    data: Dataset,
    net: Sequential | None = None,
    epochs: int | None = None,
    stop_after: int | None = None,
    callbacks=(),
    *,
    threads: int | None = None,
    layers=(),
) -> Run:
    """Go on with the run in folder `path`, with the data it was trained on.

    The outcome is that of the uninterrupted run, bit for bit. epochs: a new length, at least the epochs that are done;
    a schedule sees it from here on.  net: gets the weights (default: a new one).  layers: classes of own layers that
    the run's net has. Raises as `fit` does; UsageError also for a folder without checkpoint or a length that is too
    short, DataError for a damaged checkpoint, another net or other data, Busy when another process trains there.
    """
    with RunFolder.reopen(path) as folder:
        last = folder.path / run_folder.LAST
        if not last.exists():
            raise UsageError(f"{folder.path} has no {run_folder.LAST}: there is nothing to go on from")
        saved = checkpoint.load(last, layers or {type(layer) for layer in flatten(net.layers if net else ())})
        check_fingerprint(data, saved.fingerprint, last)
        if net is not None:
            checkpoint.check_same_net(net, saved.net, last)
            saved.net = net
        saved.net.classes, saved.net.preprocessing = list(data.classes), data.preprocessing
        recipe = _with_length(saved, epochs, stop_after)
        loop = TrainingLoop(saved.net, data, recipe, folder, callbacks, threads, None)
        loop.restore(saved)
        return loop.run()


def _with_length(saved, epochs: int | None, stop_after: int | None) -> Recipe:
    recipe, progress = saved.recipe, saved.progress
    if stop_after is not None:
        recipe.stop_after = stop_after
    if epochs is None or epochs == recipe.epochs:
        return recipe
    begun = progress.epoch + (progress.step > 0)
    if epochs < begun:
        raise UsageError(f"--epochs {epochs} is too few: this run is in its epoch {begun} already")
    return recipe.longer(epochs, progress.epoch, progress.step)


def _check_fit(net: Sequential, data: Dataset) -> None:
    if net.input_shape != data.shape:
        raise DataError(f"the net takes images {net.input_shape}, the data have {data.shape}")
    if net.output_shape != (len(data.classes),):
        outputs = "x".join(map(str, net.output_shape))
        raise DataError(f"the net gives {outputs} outputs, the data have {len(data.classes)} classes")
    if not len(data.train):
        raise DataError(f"{data.name}: the train part is empty")
