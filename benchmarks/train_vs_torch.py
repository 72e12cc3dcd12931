"""Training speed beside PyTorch's: images per second of whole training steps, four nets, the same threads and batches.

    python benchmarks/train_vs_torch.py [--nets lenet,mnist] [--threads 2] [--rounds 7] [--seconds 2] [--json]

Before any time is taken the contenders prove that they do the same work: from the same weights, over the same batches,
their losses must agree for STEPS steps within TOLERANCE; else exit code 1 and no times. Without PyTorch: exit code 4.

Each contender is a process of its own (contenders.py), and one at a time trains for a block of `--seconds`: A B C D,
A B C D. The others are stopped (SIGSTOP): the threads of an OpenMP pool go on spinning for a while after a call, and
take a core from whoever comes next. The ratio is that of the medians over all timed steps, to the faster of PyTorch's
two memory formats.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
from contenders import BATCHES, LR, MOMENTUM, NETS

from minicnn import machine

STEPS, TOLERANCE = 5, 1e-4          # relative; measured: 1e-5 on vgg-small, where float32 is as far from float64 on both sides
TORCH = ("torch-nchw", "torch-nhwc")


class Worker:
    """A contender's process; from its first answer on it stands still but for the time of a call."""

    def __init__(self, contender: str, net: str, threads: int):
        self.contender, self.name = contender, f"{contender}, {threads} thread{'s' * (threads > 1)}"
        script = Path(__file__).with_name("contenders.py")
        self.process = subprocess.Popen([sys.executable, str(script), contender, net, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str, number: float) -> list[float]:
        """Let it run until it has answered."""
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):      # it has ended; so is its output
            self.process.stdin.write(f"{command} {number}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: its process ended with exit code {self.process.wait()}")
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)      # it stands
        return json.loads(answer)

    def close(self) -> None:
        self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


def compare(net: str, threads: int, rounds: int, seconds: float) -> dict:
    """One net: losses, step times, rates and ratios; without times where the losses differ."""
    _, shape, batch = NETS[net]
    contenders = [("minicnn", threads), *((name, threads) for name in TORCH)] + [("minicnn", 1)] * (threads > 1)
    workers = [Worker(name, net, count) for name, count in contenders]
    try:
        losses = {worker.name: worker.ask("losses", STEPS) for worker in workers}
        found = {"net": net, "input_shape": shape, "batch": batch, "losses": losses}
        found["disagreement"] = disagreement(losses)
        if not found["disagreement"] <= TOLERANCE:
            return found
        blocks = {worker.name: [] for worker in workers}
        for number in range(rounds):
            for worker in workers:
                progress(f"{net}: round {number + 1} of {rounds}, {worker.name}")
                blocks[worker.name].append(worker.ask("train", seconds))
    finally:
        for worker in workers:
            worker.close()
    rates = {name: rate(batch, of_worker) for name, of_worker in blocks.items()}
    ours, *peers = (rates[worker.name] for worker in workers[:3])
    best = max(peers, key=lambda peer: peer["median"])
    found |= {"rates": rates, "ratio": ours["median"] / best["median"]}
    found["ratio_of_each_round"] = [a / b for a, b in zip(ours["rounds"], best["rounds"], strict=True)]
    if threads > 1:
        found["scaling"] = ours["median"] / rates[workers[3].name]["median"]
    return found


def disagreement(losses: dict[str, list[float]]) -> float:
    """The largest difference between the losses of any two at one step, relative; NaN where one is not finite."""
    steps = np.array(list(losses.values()))
    return float(((steps.max(axis=0) - steps.min(axis=0)) / np.abs(steps).max(axis=0)).max())


def rate(batch: int, blocks: list[list[float]]) -> dict:
    """Images per second from the seconds of each step, over all blocks (one a round): median, percentiles 20 and 80."""
    p20, median, p80 = (batch / q for q in np.percentile(np.concatenate(blocks), (80, 50, 20)))
    return {"median": median, "p20": p20, "p80": p80, "rounds": [batch / statistics.median(block) for block in blocks],
            "steps": sum(map(len, blocks))}


# ---- screen ----

def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def conditions(options, torch_version: str) -> dict:
    """What the figures depend on."""
    cpu = machine.cpu()
    return {"cpu": cpu["name"], "vector_units": cpu["vector_units"], "cores": machine.usable_cores(),
            "load_before": os.getloadavg()[0], "versions": machine.versions() | {"torch": torch_version},
            "threads": options.threads, "rounds": options.rounds, "seconds": options.seconds, "lr": LR,
            "momentum": MOMENTUM, "batches": BATCHES, "loss_steps": STEPS, "loss_tolerance": TOLERANCE}


def table(results: list[dict], where: dict) -> str:
    versions = where["versions"]
    lines = [
        f"{where['cpu']}, {where['cores']} cores ({' '.join(where['vector_units'])}), load before {where['load_before']:.2f}",
        f"minicnn {versions['minicnn']}, numba {versions['numba']}, numpy {versions['numpy']}, torch {versions['torch']}",
        f"{where['threads']} threads each, {where['rounds']} rounds of {where['seconds']:g} s each, float32, SGD with momentum; "
        f"losses of {STEPS} steps agree within {TOLERANCE:g}", "",
        f"{'images per second':<32}{'median':>9}{'p20':>9}{'p80':>9}{'steps':>7}{'ratio':>8}"]
    for result in results:
        lines.append(f"{result['net']}, batch {result['batch']}, losses within {result['disagreement']:.0e}")
        best = max(rate["median"] for name, rate in result["rates"].items() if name.startswith("torch"))
        for name, rate in result["rates"].items():
            numbers = "".join(f"{rate[key]:>9,.0f}" for key in ("median", "p20", "p80"))
            lines.append(f"  {name:<30}{numbers}{rate['steps']:>7,}{rate['median'] / best:>8.2f}")
        if "scaling" in result:
            lines.append(f"  {where['threads']} threads are {result['scaling']:.2f} times as fast as 1")
    return "\n".join(lines)


def arguments(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training speed of minicnn and PyTorch, side by side.")
    parser.add_argument("--nets", default=",".join(NETS), help=f"comma-separated, of {', '.join(NETS)} (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="of each contender (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each contender (default 7)")
    parser.add_argument("--seconds", type=float, default=2, help="length of a block (default 2)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args(argv)
    options.nets = options.nets.split(",")
    if unknown := [net for net in options.nets if net not in NETS]:
        parser.error(f"no net {unknown[0]!r}; known: {', '.join(NETS)}")
    if options.threads < 1 or options.rounds < 1 or not options.seconds > 0:
        parser.error("--threads, --rounds and --seconds must be above 0")
    return options


def main(argv=None) -> int:
    options = arguments(argv)
    try:
        where = conditions(options, metadata.version("torch"))
    except metadata.PackageNotFoundError:
        print("train_vs_torch: error: PyTorch is not installed here; try: pip install torch", file=sys.stderr)
        return 4
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))         # so that no stopped process is left behind
    results = []
    for net in options.nets:
        results.append(result := compare(net, options.threads, options.rounds, options.seconds))
        progress("")
        if "rates" not in result:
            rows = "".join(f"\n  {name}: {values}" for name, values in result["losses"].items())
            print(f"train_vs_torch: error: {net}: the losses of {STEPS} steps differ by {result['disagreement']:.1e}, "
                  f"more than {TOLERANCE:g}; nothing was timed{rows}", file=sys.stderr)
            return 1
    print(json.dumps(where | {"results": results}, indent=2) if options.json else table(results, where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
