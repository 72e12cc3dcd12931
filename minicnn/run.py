"""A training run, after `fit` or found again in its folder: its history, its best net, and how good that is."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from . import model_file, run_folder
from .data import PARTS, Dataset, load
from .errors import DataError
from .evaluate import Sheet, score
from .sequential import Sequential


@dataclass
class Run:
    """folder: where the files are.  description: what run.json says.  history: one dict for each epoch, with epoch
    (from 1), loss, val_loss, val_accuracy, lr, seconds.  best: the row of the epoch whose weights model.safetensors
    holds, or None.
    weights_sha256: of the final step (not of the best epoch).
    """

    folder: Path
    description: dict
    history: list[dict]
    best: dict | None
    weights_sha256: str
    data: Dataset | None = None

    @classmethod
    def open(cls, folder) -> "Run":
        """The run in a folder; its data are loaded when they are asked for.

        Raises UsageError (no run folder), DataError (a damaged run.json).
        """
        description = run_folder.read_run_json(folder)
        result = description.get("result")
        result = result if isinstance(result, dict) else {}
        best, digest, history = result.get("best"), result.get("weights_sha256", ""), result.get("history", [])
        return cls(Path(folder), description, history, best, digest)

    @property
    def source(self) -> str | None:
        """What the user named as data; None where run.json does not tell."""
        return _told(self.description).get("source")

    def net(self, layers=(), threads: int | None = None) -> Sequential:
        """The net with the best weights. layers: classes of own layers."""
        net = model_file.open_model(self.folder, layers)
        net.threads = threads
        return net

    def load_data(self) -> Dataset:
        """The data the run was trained on. Raises DataError when they are not the same any more."""
        if self.data is None:
            self.data = load_described(self.description, self.folder)
        return self.data

    def evaluate(self, part: str = "test", net: Sequential | None = None) -> Sheet:
        """The best net on a part of the data ("train", "val", "test"); an opening of the test part goes on record."""
        return evaluate(net or self.net(), self.load_data(), part, self)


def evaluate(net: Sequential, data: Dataset, part: str = "test", run: Run | None = None) -> Sheet:
    """The sheet of a net on a part of a data set that was loaded like the net's own (data.load(..., like=net)).

    Raises ValueError for an unknown part, DataError for an empty one.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    images = getattr(data, part)
    if not len(images):
        raise DataError(f"{data.name}: its {part} part is empty, there is nothing to evaluate")
    sheet = score(net.predict(images.images), images.labels, data.classes, part)
    if part == "test" and run is not None:
        try:
            opening = run_folder.record_opening(run.folder, sheet.accuracy, sheet.n, net.weights_sha256())
            return replace(sheet, opening=opening)
        except OSError as error:
            warnings.warn(f"this opening of the test part is not on record: {run.folder}: {error.strerror}", stacklevel=2)
    return sheet


def load_described(description: dict, where, source=None) -> Dataset:
    """Load the data of a run again as run.json tells, from `source` where they have moved.

    Raises DataError when run.json does not say where they are, or when they have changed.
    """
    told = _told(description)
    source, size, split = source or told.get("source"), told.get("size"), told.get("split")
    if not isinstance(source, str):
        raise DataError(f"{where}: run.json does not say where the data are; name them")
    if not isinstance(size, int | None) or not isinstance(split, list | None):
        raise DataError(f"{where}: run.json has no usable size and split of the data")
    data = load(source, size=size, **({"split": split} if split else {}))
    check_fingerprint(data, told.get("fingerprint"), where)
    return data


def _told(description: dict) -> dict:
    told = description.get("data")
    return told if isinstance(told, dict) else {}


def check_fingerprint(data: Dataset, fingerprint, where) -> None:
    """Refuse data that are not those of the run."""
    if data.fingerprint != fingerprint:
        raise DataError(
            f"{where}: the data differ from the run's (fingerprint {data.fingerprint[:12]} instead of "
            f"{str(fingerprint)[:12]}): files were added, removed or changed"
        )
