"""What `minicnn train` shows: the data, the net, a line for each epoch, the outcome; a moving bar on a terminal."""

import math
import time

from .. import run_folder, summary
from ..callbacks import Callback
from ..evaluate import wilson
from ..machine import peak_memory
from ..program import program
from .screen import Screen, printable

FORECAST_AFTER = 1.0  # seconds of training after which its length can be told
COMPILED = 1.0  # seconds; less is loading kernels from the cache


class TrainScreen(Callback):
    """The screen as a callback of fit and resume."""

    def __init__(self, screen: Screen):
        self.screen, self.bar, self.loop = screen, None, None
        self.forecast_is_due, self.started, self.epochs_here = True, time.monotonic(), 0

    def begin(self, data, net, name: str) -> None:
        """The first lines of a new run."""
        self.screen.note(str(data))
        cost = quantity(summary.multiply_adds(net.layers))
        count = f"{summary.parameter_count(net.layers):,}"
        self.screen.note(f"net {name}: {len(net.layers)} layers, {count} parameters, {cost} multiply-adds per image")

    def resumed(self, data, path) -> None:
        """The first line of a resumed run."""
        self.screen.note(f"{printable(data.name)}: going on with {printable(path)}")

    def on_start(self, loop) -> None:
        self.loop = loop
        if loop.data.skipped:
            self.screen.warn(f"the skipped files are listed in {loop.folder.path / run_folder.SKIPPED}")
        if loop.progress.epoch or loop.progress.step:
            self.screen.note(f"{loop.progress.epoch} of {loop.recipe.epochs} epochs are done")
        self.started = time.monotonic()
        if self.screen.on_terminal():
            self.bar = make_bar()
            self.task = self.bar.add_task("compiling kernels", total=loop.steps, eta="-")
            self.bar.start()

    def on_step(self, loop) -> None:
        if self.forecast_is_due and loop.warm and time.monotonic() - self.started > FORECAST_AFTER:
            self._forecast(loop)
        if self.bar:
            text = f"epoch {loop.progress.epoch + 1}/{loop.recipe.epochs}  loss {loop.last_loss:.3f}"
            self.bar.update(self.task, description=text, completed=loop.progress.step, eta=self._eta(loop))

    def on_epoch(self, loop, row) -> None:
        if self.forecast_is_due:
            self._forecast(loop)
        self.epochs_here += 1
        val_loss, val_accuracy = (
            f"{value:.3f}" if value is not None else "-" for value in (row["val_loss"], row["val_accuracy"])
        )
        self.screen.note(
            f"{row['epoch']:>4}  {row['loss']:>8.3f}  {val_loss:>8}  {val_accuracy:>7}  {row['lr']:>8.4f}"
            f"  {duration(row['seconds']):>10}  {self._eta(loop):>10}"
        )

    def on_warning(self, loop, text) -> None:
        self.screen.warn(text)

    def stop(self) -> None:
        """Take the bar away, whatever ended the training."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def end(self, run) -> None:
        """The outcome, in words or as JSON."""
        screen, result, best = self.screen, run.description["result"], run.best or {}
        accuracy, recipe = best.get("val_accuracy"), run.description["recipe"]
        if len(run.history) < recipe["epochs"]:
            screen.note(f"stopped early: {recipe['stop_after']} epoch(s) without a better validation loss")
        if accuracy is not None:
            n, counts = len(run.data.val), [int((run.data.val.labels == k).sum()) for k in range(len(run.data.classes))]
            low, high = wilson(round(accuracy * n), n)
            common = printable(run.data.classes[counts.index(max(counts))])
            screen.answer(
                f"val accuracy {accuracy:.3f} (95% {low:.2f} to {high:.2f}, n={n}, epoch {best['epoch']}); "
                f"always saying '{common}' gives {max(counts) / n:.3f}"
            )
        screen.answer(f"weights sha256 {run.weights_sha256[:16]} (same for any number of threads)")
        screen.note(f"next: {program()} evaluate {run.folder}      {program()} predict {run.folder} IMAGE")
        screen.result(
            {
                "run": str(run.folder),
                "epochs": len(run.history),
                "best_epoch": best.get("epoch"),
                "val_accuracy": accuracy,
                "weights_sha256": run.weights_sha256,
                "images_per_second": result["images_per_second"],
                "seconds_compile": result["seconds_compile"],
                **({"gain": result["gain"]} if "gain" in result else {}),
            }
        )

    def _forecast(self, loop) -> None:
        self.forecast_is_due = False
        kernels = kernel_text(loop.seconds_compile)
        self.screen.note(f"cpu: {loop.trainer.engine.threads} threads, {kernels}")
        left = duration(self._seconds_left(loop))
        size = f"{peak_memory() / 1e6:.0f} MB"
        epochs = f"{loop.recipe.epochs} epochs" if loop.recipe.epochs > 1 else "1 epoch"
        self.screen.note(f"forecast: {epochs} in about {left}, {size}      Ctrl-C stops and keeps the best")
        self.screen.note(f"{'epoch':>5} {'loss':>8}  {'val loss':>8}  {'val acc':>7}  {'lr':>8}  {'time':>10}  {'eta':>10}")

    def _seconds_left(self, loop) -> float:
        """By the speed so far; an image of the validation part costs about a third of one that is trained on."""
        progress, data = loop.progress, loop.data
        images = (loop.recipe.epochs - progress.epoch) * (len(data.train) + len(data.val) / 3) - progress.images
        return max(0.0, images) / loop.images_per_second

    def _eta(self, loop) -> str:
        return duration(self._seconds_left(loop)) if loop.images_per_second else "-"


def kernel_text(seconds: float) -> str:
    """How long the kernels took, and whether the next run will be spared that."""
    if seconds < COMPILED:
        return f"kernels ready in {seconds:.1f} s"
    from ..kernels.cache import cache_folder

    return f"kernels compiled in {seconds:.1f} s" + (" and kept for next time" if cache_folder() else "")


def make_bar():
    """A bar that vanishes when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("eta {task.fields[eta]}"),
    )
    return Progress(*columns, transient=True)


def duration(seconds: float) -> str:
    """0.3 s, 11 s, 1 min 50 s, 2 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def quantity(number: int) -> str:
    """950, 41.6 k, 3.9 M, 1.2 G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
