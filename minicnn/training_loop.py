"""The loop of a training run, and what it writes when.

    for each epoch:  order = permutation(seed, epoch)
        for each step:  lr = schedule(time);  loss = trainer.step(images[order of the step])
        validate;  keep the weights if they are the best;  write last.safetensors, model.safetensors, log.jsonl, metrics.csv

The time that a schedule sees is the middle of the step, (epoch + (step + 1/2) / steps), in epochs. What a step does depends on the
trainer's state and on (recipe, epoch, step) alone, so a run can be cut anywhere and goes on bit for bit.

last.safetensors holds the best weights too, and is written before model.safetensors: whenever the process dies, the newest
last.safetensors alone determines the rest, and `restore` writes the model again.
"""

import math
import os
import sys
import time

import numpy as np

from . import checkpoint, machine, model_file, random, run_folder, summary
from .callbacks import as_callback
from .checkpoint import Checkpoint, Progress
from .data import Dataset
from .engine import Engine
from .errors import DataError, Diverged, EnvironmentProblem, MinicnnError
from .recipe import Recipe
from .run import Run
from .run_folder import RunFolder
from .sequential import PREDICT_BATCH, Sequential
from .signals import Interrupted, Interruption
from .trainer import Trainer

SAVE_EVERY = 300.0  # seconds between checkpoints inside a long epoch
BLOW_UP = 10.0  # an epoch's loss this many times the first batch's is worth a warning, and never the best
STUCK = 0.02  # relative distance to ln(classes) at which a loss counts as guessing
REMEMBERED = 1000  # steps whose losses are kept, to say since when a loss grew


class TrainingLoop:
    """One call of fit or resume. Public to callbacks: progress, recipe, steps (batches an epoch), net, data, folder, trainer,
    images_per_second (of this process, without compiling)."""

    def __init__(self, net: Sequential, data: Dataset, recipe: Recipe, folder: RunFolder, callbacks, threads, origin: dict | None):
        self.net, self.data, self.recipe, self.folder = net, data, recipe, folder
        self.callbacks = [as_callback(one) for one in callbacks]
        self.trainer = Trainer(net, optimizer=recipe.optimizer, loss=recipe.loss, threads=threads, seed=recipe.seed)
        self.steps = math.ceil(len(data.train) / recipe.batch)
        self.progress = Progress()
        self.interruption = Interruption()
        self._description = self._describe(origin)
        self._best_weights: dict[str, np.ndarray] | None = None
        self._model_is_old = self._unsaved = self._warned = False
        self._losses: list[float] = []
        self._saved_at = time.monotonic()
        self._compiled_before, self._trained, self._seconds = compile_seconds(), 0, 0.0

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
                self._write_description("running")
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
            self._note_failure(error)
            raise

    @property
    def seconds_compile(self) -> float:
        """Seconds spent compiling kernels, or loading compiled ones, since this loop began."""
        return compile_seconds() - self._compiled_before

    @property
    def images_per_second(self) -> float:
        """Training images a second, without compiling and validating; 0 before the first step."""
        return self._trained / self._seconds if self._seconds > 0 else 0.0

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
        self.trainer.lr = self.recipe.lr(progress.epoch + (progress.step + 0.5) / self.steps)
        try:
            loss = self.trainer.step(images, labels, samples=samples, epoch=progress.epoch)
        except Diverged as error:
            raise self._explain(error, images, labels, samples) from error
        seconds = time.perf_counter() - start
        progress.step += 1
        progress.loss_sum += loss * len(samples)
        progress.images += len(samples)
        progress.seconds += seconds
        progress.first_loss = loss if progress.first_loss is None else progress.first_loss
        self._losses = [*self._losses[-REMEMBERED:], loss]
        self._trained += len(samples)
        self._seconds += max(0.0, seconds - (compile_seconds() - compiled))
        for callback in self.callbacks:
            callback.on_step(self)

    def _end_epoch(self) -> None:
        progress, start = self.progress, time.perf_counter()
        val_loss, val_accuracy = self._validate()
        row = {
            "epoch": progress.epoch + 1,
            "loss": progress.loss_sum / progress.images,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": self.trainer.lr,
            "seconds": progress.seconds + time.perf_counter() - start,
        }
        blown_up = row["loss"] > BLOW_UP * progress.first_loss
        if self._is_better(row) and not blown_up:
            progress.best = row
            self._best_weights = {name: array.copy() for name, array in self.net.tensors().items()}
            self._model_is_old = True
        progress.history.append(row)
        progress.epoch, progress.step, progress.loss_sum, progress.images, progress.seconds = row["epoch"], 0, 0.0, 0, 0.0
        self._save()
        self._warn_of(row, blown_up)
        for callback in self.callbacks:
            callback.on_epoch(self, row)

    def _validate(self) -> tuple[float | None, float | None]:
        """Mean loss and accuracy on the validation part; None where there is none, or where the loss is not finite."""
        part, net = self.data.val, self.net
        if not len(part):
            return None, None
        engine = self.trainer.engine
        if net.logit_layers is not net.layers:
            engine = Engine(net.logit_layers, net.input_shape, engine.threads)
        total = weight = hits = 0.0
        for start in range(0, len(part), PREDICT_BATCH):
            images, labels = part.images[start : start + PREDICT_BATCH], part.labels[start : start + PREDICT_BATCH]
            logits = engine.infer(np.ascontiguousarray(images, net.dtype))
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

    def _warn_of(self, row: dict, blown_up: bool) -> None:
        classes = len(self.data.classes)
        guessing = math.log(classes)
        if row["epoch"] == 1 and self._is_cross_entropy() and abs(row["loss"] - guessing) < STUCK * guessing:
            self._warn(
                f"loss is at the level of guessing ({guessing:.3f} = ln {classes}). minicnn check {self.folder.path}, "
                "or try another --lr."
            )
        if blown_up and not self._warned:
            self._warned = True
            self._warn(
                f"the loss is {row['loss'] / self.progress.first_loss:.0f} times that of the first batch; "
                f"try --lr {self.recipe.optimizer.lr / 10:g}"
            )

    def _is_cross_entropy(self) -> bool:
        return self.recipe.loss.config()["loss"] == "SoftmaxCrossEntropy"

    def _save(self, must: bool = False) -> None:
        """Write the checkpoint, then what follows from it. A full disk costs a warning and the next try, unless it `must` be."""
        self._saved_at = time.monotonic()
        path, description = self.folder.path, model_file.describe(self.net)
        try:
            checkpoint.save(
                path / run_folder.LAST, description, self.recipe, self.progress, self.data.fingerprint, self.trainer.state(),
                self._best_weights,
            )  # fmt: skip
            if self._model_is_old:
                model_file.write(path / run_folder.MODEL, description, self._best_weights, _origin_of(self.progress.best))
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
        source = self._description["data"].get("source")
        command = " ".join(["minicnn train", *([str(source)] if source else []), "--resume", str(path)])
        raise Interrupted(f"stopped {where}; {kept} in {path / run_folder.MODEL}; go on: {command}", path)

    def _finish(self) -> Run:
        if self._unsaved:
            self._save(must=True)
        if self.progress.best is None:
            model_file.save(self.net, self.folder.path / run_folder.MODEL, None)
        self._write_description("finished")
        progress = self.progress
        return Run(self.folder.path, self._description, progress.history, progress.best, self.net.weights_sha256(), self.data)

    def _explain(self, error: Diverged, images, labels, samples) -> Diverged:
        """The error with the loss's way there and what to do; keeps the batch."""
        text, losses = str(error), self._losses
        if losses:
            low = int(np.argmin(losses))
            since = error.step - len(losses) + low
            text += f"; the loss grew from {losses[low]:.3g} at step {since} to {losses[-1]:.3g} at step {error.step - 1}"
        hint = f"Try --lr {self.recipe.optimizer.lr / 10:g}."
        try:
            kept = self.folder.write_diverged(images=images, labels=labels, samples=samples, epoch=self.progress.epoch, step=error.step)
            hint += f" The batch is in {kept}, the last good state in {self.folder.path / run_folder.LAST}."
        except EnvironmentProblem as problem:
            hint += f" The batch could not be kept: {problem}."
        return Diverged(text, error.step, error.layer, error.tensor, hint)

    def _note_failure(self, error: BaseException) -> None:
        status = {Interrupted: "interrupted", Diverged: "diverged"}.get(type(error), "failed")
        try:
            self._write_description(status)
        except MinicnnError:
            pass  # the failure itself is about to be reported

    def _warn(self, text: str) -> None:
        for callback in self.callbacks:
            callback.on_warning(self, text)

    def _describe(self, origin: dict | None) -> dict:
        """The parts of run.json that stay; those that only the starter knows are taken from the file of a resumed run."""
        if origin is None:
            try:
                origin = run_folder.read_run_json(self.folder.path)
            except MinicnnError:
                origin = {}
        net, data = self.net, self.data
        told = origin.get("data") if isinstance(origin.get("data"), dict) else {}
        named = origin.get("net")
        named = named.get("name") if isinstance(named, dict) else named
        return {
            "started": origin.get("started", run_folder.timestamp()),
            "net": {"name": named, "parameters": summary.parameter_count(net.layers), **model_file.describe(net)},
            "data": {
                "source": told.get("source"),
                "size": told.get("size"),
                "split": told.get("split"),
                "name": data.name,
                "fingerprint": data.fingerprint,
                "parts": data.summary["parts"],
                "skipped": len(data.skipped),
            },
            "threads": self.trainer.engine.threads,
            "versions": machine.versions(),
            "machine": machine.describe(),
        }

    def _write_description(self, status: str) -> None:
        progress = self.progress
        result = {
            "epochs": progress.epoch,
            "steps": progress.epoch * self.steps + progress.step,
            "best": progress.best,
            "weights_sha256": self.net.weights_sha256(),
            "seconds_compile": self.seconds_compile,
            "images_per_second": self.images_per_second,
            "history": progress.history,
        }
        self._description |= {
            "status": status,
            "process": os.getpid(),
            "updated": run_folder.timestamp(),
            "recipe": self.recipe.config(),
            "result": result,
        }
        self.folder.write_json(self._description)


def compile_seconds() -> float:
    """Seconds this process has spent on compiling; 0 as long as nothing had to be compiled."""
    jit = sys.modules.get("minicnn.kernels.jit")
    return jit.compile_seconds() if jit else 0.0


def _origin_of(row: dict) -> dict:
    return {name: row[name] for name in ("epoch", "val_loss", "val_accuracy")}
