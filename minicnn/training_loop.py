"""The loop of a training run, and what it writes when.

    for each epoch:  order = permutation(seed, epoch)
        for each step:  lr = schedule(time);  loss = trainer.step(images[order of the step])
        validate;  keep the weights if they are the best;  write last.safetensors, model.safetensors, log.jsonl, metrics.csv

The time that a schedule sees is the middle of the step, (epoch + (step + 1/2) / steps), in epochs. What a step does
depends on the trainer's state and on (recipe, epoch, step) alone, so a run can be cut anywhere and goes on bit for bit.

last.safetensors holds the best weights too, and is written before model.safetensors: whenever the process dies, the
newest last.safetensors alone determines the rest, and `restore` writes the model again.
"""

import math
import shlex
import sys
import time
from collections import deque
from contextlib import suppress

import numpy as np

from . import alarms, checkpoint, model_file, random, run_folder
from .callbacks import as_callback
from .checkpoint import Checkpoint, Progress
from .data import Dataset
from .errors import DataError, Diverged, EnvironmentProblem, MinicnnError
from .program import program
from .recipe import Recipe
from .run import Run
from .run_folder import RunFolder
from .run_record import RunRecord
from .sequential import PREDICT_BATCH, Sequential
from .signals import Interrupted, Interruption
from .trainer import Trainer

SAVE_EVERY = 300.0  # seconds between checkpoints inside a long epoch
REMEMBERED = 1000  # steps whose losses are kept, to say since when a loss grew


class TrainingLoop:
    """One call of fit or resume. Public to callbacks: progress, recipe, steps (batches an epoch), net, data, folder,
    trainer, images_per_second (of this process, without compiling).
    """

    def __init__(
        self, net: Sequential, data: Dataset, recipe: Recipe, folder: RunFolder, callbacks, threads, origin: dict | None
    ):
        self.net, self.data, self.recipe, self.folder = net, data, recipe, folder
        self.callbacks = [as_callback(one) for one in callbacks]
        self.trainer = Trainer(net, optimizer=recipe.optimizer, loss=recipe.loss, threads=threads, seed=recipe.seed)
        self.steps = math.ceil(len(data.train) / recipe.batch)
        self.progress = Progress()
        self.interruption = Interruption()
        self._best_weights: dict[str, np.ndarray] | None = None
        self._model_is_old = self._unsaved = self._warned = False
        self._losses: deque[float] = deque(maxlen=REMEMBERED)
        self._saved_at = time.monotonic()
        self._compiled_before = compile_seconds()
        self._warm, self._cold = [0, 0.0], [0, 0.0]  # images and seconds of steps; cold ones had to import or compile
        self._record = RunRecord(self, origin)

    def restore(self, saved: Checkpoint) -> None:
        """Stand where a checkpoint was written. Raises DataError when it is of another trainer."""
        if saved.progress.step > self.steps:
            raise DataError(f"{self.folder.path}: the checkpoint is at step {saved.progress.step} of an epoch of {self.steps}")
        try:
            self.trainer.load_state(saved.state)
        except (KeyError, ValueError) as error:
            raise DataError(f"{self.folder.path / run_folder.LAST}: {error}") from None
        self.progress, self._best_weights = saved.progress, saved.best
        self._model_is_old = saved.best is not None

    def run(self) -> Run:
        """Train to the end; returns the run."""
        try:
            with self.interruption:
                self._record.write("running")
                if self.data.skipped:
                    self.folder.write_skipped(self.data.skipped)
                self._save(must=True)
                for callback in self.callbacks:
                    callback.on_start(self)
                while not self._over():
                    self._epoch()
                return self._finish()
        except BaseException as error:
            error.run_folder = self.folder.path  # where the command line writes the traceback of a bug
            status = "diverged" if isinstance(error, Diverged) else "failed"
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else status
            with suppress(MinicnnError):  # the failure itself is what has to be reported
                self._record.write(status)
            raise

    @property
    def seconds_compile(self) -> float:
        """Seconds spent compiling kernels, or loading compiled ones, since this loop began."""
        return compile_seconds() - self._compiled_before

    @property
    def images_per_second(self) -> float:
        """Training images a second, without compiling and validating; 0 before the first step."""
        images, seconds = self._warm if self.warm else self._cold
        return images / seconds if seconds > 0 else 0.0

    @property
    def warm(self) -> bool:
        """Whether a step has run that had nothing to compile, so that the speed so far says what is to come."""
        return self._warm[0] > 0

    @property
    def last_loss(self) -> float:
        """The loss of the newest batch."""
        return self._losses[-1]

    def _over(self) -> bool:
        progress, patience = self.progress, self.recipe.stop_after
        best = progress.best["epoch"] if progress.best else 0
        return progress.epoch >= self.recipe.epochs or (patience is not None and progress.epoch - best >= patience)

    def _epoch(self) -> None:
        progress, part = self.progress, self.data.train
        order = random.permutation(self.recipe.seed, progress.epoch, len(part))
        while progress.step < self.steps:
            self._leave_if_asked()
            rows = order[progress.step * self.recipe.batch :][: self.recipe.batch]
            self._step(part.images[rows], part.labels[rows], rows)
            if time.monotonic() - self._saved_at >= SAVE_EVERY:
                self._save()
        self._leave_if_asked()
        self._end_epoch()

    def _step(self, images: np.ndarray, labels: np.ndarray, samples: np.ndarray) -> None:
        progress, compiled, start = self.progress, compile_seconds(), time.perf_counter()
        self.trainer.lr = self._lr(progress.step)
        try:
            loss = self.trainer.step(images, labels, samples=samples, epoch=progress.epoch)
        except Diverged as error:
            batch = {"images": images, "labels": labels, "samples": samples, "epoch": progress.epoch}
            lr, folder = self.recipe.optimizer.lr, self.folder
            raise alarms.explain(error, self._losses, lr, folder, batch) from error
        seconds = time.perf_counter() - start
        progress.step += 1
        progress.loss_sum += loss * len(samples)
        progress.images += len(samples)
        progress.seconds += seconds
        progress.first_loss = loss if progress.first_loss is None else progress.first_loss
        self._losses.append(loss)
        compiling = compile_seconds() - compiled
        pace = self._cold if compiling else self._warm
        pace[0] += len(samples)
        pace[1] += max(0.0, seconds - compiling)
        for callback in self.callbacks:
            callback.on_step(self)

    def _lr(self, step: int) -> float:
        """The learning rate of a step of the running epoch."""
        return self.recipe.lr(self.progress.epoch + (step + 0.5) / self.steps)

    def _end_epoch(self) -> None:
        progress, start = self.progress, time.perf_counter()
        val_loss, val_accuracy = self._validate()
        row = {
            "epoch": progress.epoch + 1,
            "loss": progress.loss_sum / progress.images,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": self._lr(self.steps - 1),
            "seconds": progress.seconds + time.perf_counter() - start,
        }
        if self._is_better(row) and not alarms.blown_up(row, progress.first_loss):
            progress.best = row
            self._best_weights = {name: array.copy() for name, array in self.net.tensors().items()}
            self._model_is_old = True
        progress.end_epoch(row)
        self._save()
        self._warn_of(row)
        for callback in self.callbacks:
            callback.on_epoch(self, row)

    def _validate(self) -> tuple[float | None, float | None]:
        """Mean loss and accuracy on the validation part; None where there is none, or where the loss is not finite."""
        part, net = self.data.val, self.net
        if not len(part):
            return None, None
        total = weight = hits = 0.0
        for start in range(0, len(part), PREDICT_BATCH):
            images, labels = part.images[start : start + PREDICT_BATCH], part.labels[start : start + PREDICT_BATCH]
            logits = self.trainer.engine.infer(np.ascontiguousarray(images, net.dtype), net.logit_layers)
            total += float(self.recipe.loss.forward(logits, labels).sum(dtype=np.float64))
            weight += self.recipe.loss.denominator(labels, net.dtype)
            hits += int((logits.argmax(axis=1) == labels).sum())
        loss = total / weight
        return (loss if math.isfinite(loss) else None), hits / len(part)

    def _is_better(self, row: dict) -> bool:
        """By validation loss; by training loss where there is no validation part."""
        key = "val_loss" if len(self.data.val) else "loss"
        if row[key] is None:
            return False
        return self.progress.best is None or row[key] < self.progress.best[key]

    def _warn_of(self, row: dict) -> None:
        first_loss, classes = self.progress.first_loss, len(self.data.classes)
        if row["val_loss"] is None and len(self.data.val):
            self._warn(f"the validation loss of epoch {row['epoch']} is not finite; this epoch cannot be the best")
        if alarms.stuck(row, self.recipe.loss, classes):
            self._warn(alarms.stuck_text(classes, self.folder.path))
        if alarms.blown_up(row, first_loss) and not self._warned:
            self._warned = True
            self._warn(alarms.blown_up_text(row, first_loss, self.recipe.optimizer.lr))

    def _save(self, must: bool = False) -> None:
        """Write the checkpoint and what follows from it. A full disk costs a warning and a later try, unless `must`."""
        self._saved_at = time.monotonic()
        path, description = self.folder.path, model_file.describe(self.net)
        try:
            checkpoint.save(
                path / run_folder.LAST,
                description,
                self.recipe,
                self.progress,
                self.data.fingerprint,
                self.trainer.state(),
                self._best_weights,
            )
            if self._model_is_old:
                model_file.write(path / run_folder.MODEL, description, self._best_weights, _training_of(self.progress.best))
                self._model_is_old = False
            if self.progress.history:
                self.folder.write_log(self.progress.history)
            self._unsaved = False
        except EnvironmentProblem as error:
            self._unsaved = True
            if must or not path.is_dir():
                raise
            self._warn(f"{error}; training goes on, and the next checkpoint tries again")

    def _leave_if_asked(self) -> None:
        if self.interruption.wanted is None:
            return
        progress, path = self.progress, self.folder.path
        self._save(must=True)
        if progress.best is None:
            model_file.save(self.net, path / run_folder.MODEL, None)
        where = f"after epoch {progress.epoch}" + (f" and {progress.step} of {self.steps} steps" if progress.step else "")
        kept = f"best (epoch {progress.best['epoch']}) is" if progress.best else "the weights so far are"
        source = [self._record.source] if self._record.source else []
        command = program() + " " + shlex.join(["train", *source, "--resume", str(path), *self._record.kernel_options])
        raise Interrupted(f"stopped {where}; {kept} in {path / run_folder.MODEL}; go on: {command}", path)

    def _finish(self) -> Run:
        if self._unsaved:
            self._save(must=True)
        if self.progress.best is None:
            model_file.save(self.net, self.folder.path / run_folder.MODEL, None)
        document, progress = self._record.write("finished"), self.progress
        return Run(self.folder.path, document, progress.history, progress.best, document["result"]["weights_sha256"], self.data)

    def _warn(self, text: str) -> None:
        for callback in self.callbacks:
            callback.on_warning(self, text)


def compile_seconds() -> float:
    """Seconds this process has spent on compiling; 0 as long as nothing had to be compiled."""
    jit = sys.modules.get("minicnn.kernels.jit")
    return jit.compile_seconds() if jit else 0.0


def _training_of(row: dict) -> dict:
    return {name: row[name] for name in ("epoch", "val_loss", "val_accuracy")}
