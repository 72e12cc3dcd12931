"""`train --kernel OP=FILE.py:NAME`: checked before the training, in force during it, its gain measured behind it.

run.json keeps which kernels ran, and names no code to run: a resumed run needs the same options again, with the same file
(by its SHA-256; what the file imports is not looked at), since other kernels would give other bits.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import MinicnnError, UsageError
from .options import Common


class OwnKernels:
    """The --kernel options of one command line; without any, every method does nothing."""

    def __init__(self, words, shared: Common):
        self.shared, self.kernels = shared, []
        if words:
            from ..lab import own_kernel

            self.kernels = own_kernel.load(words)

    def records(self) -> dict:
        """For run.json: {op: file, function, SHA-256}."""
        return {one.op: one.record() for one in self.kernels}

    def check(self, net, data, loss, optimizer) -> None:
        """Say that each kernel is right for this net, or raise (own_kernel.check)."""
        if self.kernels:
            from ..lab import own_kernel

            part = data.train
            for line in own_kernel.check(self.kernels, net, part.images, part.labels, loss, optimizer):
                self.shared.screen.note(line)

    def refuse_others(self, described: dict, path) -> None:
        """Raise UsageError where a run is to go on with other kernels than those of its run.json."""
        told = described.get("kernels")
        told = {op: one for op, one in told.items() if isinstance(one, dict)} if isinstance(told, dict) else {}
        again = " ".join(f"--kernel {op}={one.get('file')}:{one.get('function')}" for op, one in told.items())
        missing, new = told.keys() - self.records().keys(), self.records().keys() - told.keys()
        if missing:
            raise UsageError(f"{path} was trained with own kernels; without them its weights would be others: add {again}")
        if new:
            raise UsageError(f"--kernel {sorted(new)[0]} was not there when this run began; start a new run for that")
        for one in self.kernels:
            there = told[one.op]
            if (one.sha256, one.name) != (there.get("sha256"), there.get("function")):
                raise UsageError(
                    f"--kernel {one} is not what {path} was trained with ({there.get('file')}:{there.get('function')}, SHA-256 "
                    f"{str(there.get('sha256'))[:12]}; the file's is {one.sha256[:12]}): start a new run for that"
                )

    def check_resumed(self, path, data, layers) -> None:
        """`check` for the net of a run. layers: classes of own layers."""
        from .. import checkpoint
        from ..run_folder import LAST

        if self.kernels and (last := Path(path) / LAST).exists():
            saved = checkpoint.load(last, layers)
            self.check(saved.net, data, saved.recipe.loss, saved.recipe.optimizer)

    @contextmanager
    def in_force(self):
        """Within the block, training runs on the user's kernels, and their errors are told with their lines."""
        with ExitStack() as stack:
            if self.kernels:
                from ..lab import own_kernel

                stack.enter_context(own_kernel.blame(self.kernels))
                stack.enter_context(own_kernel.use(self.kernels))
            yield

    def report(self, run, loop) -> None:
        """Measure what the kernels changed, say it, and add it to run.json."""
        if not self.kernels:
            return
        from ..lab import kernel_gain
        from ..run_folder import RunFolder

        screen, part, recipe = self.shared.screen, loop.data.train, loop.recipe
        x, labels = part.images[: recipe.batch], part.labels[: recipe.batch]
        try:
            gain = kernel_gain.measure(self.kernels, loop.net, x, labels, recipe, self.shared.threads, kernel_gain.SECONDS)
        except KeyboardInterrupt:
            screen.warn("interrupted: what the kernels changed was not measured; the run is complete")
            return
        screen.answer(gain.sentence(self.kernels))
        run.description["result"]["gain"] = gain.record()
        try:
            with RunFolder.reopen(run.folder) as folder:
                folder.write_json(run.description)
        except MinicnnError as problem:
            screen.warn(f"the gain is not in run.json: {problem}")
