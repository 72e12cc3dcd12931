"""run.json: all settings including defaults, the data's fingerprint, versions, the machine, and how far the run came.

{"started", "updated", "status": "running" | "finished" | "interrupted" | "diverged" | "failed", "process",
 "net": {"name", "parameters", "layers", ...}, "recipe": {"epochs", "batch", "optimizer", ...}, "threads",
 "data": {"source", "size", "split", "name", "fingerprint", "parts", "skipped"}, "versions", "machine",
 "kernels": {op: {"file", "function", "sha256"}} of a run with kernels of the user's,
 "result": {"epochs", "steps", "best", "weights_sha256", "seconds_compile", "images_per_second", "history", and with such
 kernels "gain"}}
"""

import os

from . import machine, model_file, run_folder, summary
from .errors import MinicnnError


class RunRecord:
    """The run.json of a TrainingLoop. origin: what only the starter of the run knows, {"net": {"name"}, "data":
    {"source", "size", "split"}, "kernels"}; None for a resumed run, whose run.json still tells.
    """

    def __init__(self, loop, origin: dict | None):
        self.loop = loop
        before = _read(loop.folder.path) if origin is None else origin
        told = _dict(before.get("data"))
        net, data = loop.net, loop.data
        self.document = {
            "started": before.get("started", run_folder.timestamp()),
            "net": {
                "name": _dict(before.get("net")).get("name"),
                "parameters": summary.parameter_count(net.layers),
                **model_file.describe(net),
            },
            "threads": loop.trainer.engine.threads,
            "data": {
                **{key: told.get(key) for key in ("source", "size", "split")},
                "name": data.name,
                "fingerprint": data.fingerprint,
                "parts": data.summary["parts"],
                "skipped": len(data.skipped),
            },
            "versions": machine.versions(),
            "machine": machine.describe(),
        }
        if before.get("exact") is True:             # else the key is absent, as in runs of versions without it
            self.document["exact"] = True
        if kernels := _dict(before.get("kernels")):
            self.document["kernels"] = kernels

    @property
    def source(self) -> str | None:
        """What the user named as data, where that is known."""
        return self.document["data"]["source"]

    @property
    def kernel_options(self) -> list[str]:
        """The options that a resumed run needs again for the user's kernels."""
        return [f"--kernel={op}={_dict(one).get('file')}:{_dict(one).get('function')}"
                for op, one in self.document.get("kernels", {}).items()]

    def write(self, status: str) -> dict:
        """Replace run.json; returns what it says. Raises EnvironmentProblem."""
        loop, progress = self.loop, self.loop.progress
        result = {
            "epochs": progress.epoch,
            "steps": progress.epoch * loop.steps + progress.step,
            "best": progress.best,
            "weights_sha256": loop.net.weights_sha256(),
            "seconds_compile": loop.seconds_compile,
            "images_per_second": loop.images_per_second,
            "history": progress.history,
        }
        now = {
            "updated": run_folder.timestamp(),
            "status": status,
            "process": os.getpid(),
            "recipe": loop.recipe.config(),
        }
        self.document |= now | {"result": result}
        loop.folder.write_json(self.document)
        return self.document


def _read(path) -> dict:
    """The earlier run.json; a damaged one costs the names in it, not the run."""
    try:
        return run_folder.read_run_json(path)
    except MinicnnError:
        return {}


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}
