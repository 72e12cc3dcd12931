"""Peak memory of a training run beside PyTorch's: the most a process held, without what it held after its imports.

    python benchmarks/memory_vs_torch.py [--nets vgg-small] [--threads 2] [--rounds 3] [--json]

Each contender trains STEPS steps in a process of its own (memory_contenders.py), `--rounds` times by turns; a first process
of ours, which does not count, compiles the kernels. The losses must agree within TOLERANCE; else exit code 1. Without
PyTorch: exit code 4. The ratio is that of the medians, to the smaller of PyTorch's two memory formats; less is better.
"""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from figures import stepwise_disagreement
from measured_nets import NETS
from report import MISSING, choice, conditions, finish, missing, parsed, parser, rates_table, refuse
from targets import MEMORY
from train_vs_torch import TOLERANCE, TORCH
from workers import progress, this_checkout

STEPS = 5
CONTENDERS = ("minicnn", *TORCH)


def run(contender: str, net: str, threads: int) -> dict:
    """What one process says of itself."""
    script = str(Path(__file__).with_name("memory_contenders.py"))
    words = [sys.executable, script, contender, net, str(threads), str(STEPS)]
    return json.loads(subprocess.run(words, check=True, env=this_checkout(), stdout=subprocess.PIPE, text=True).stdout)


def compare(net: str, threads: int, rounds: int) -> dict:
    """One net; without "rates" where the losses differ."""
    run("minicnn", net, threads)
    runs: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    for number in range(rounds):
        for name in CONTENDERS:
            progress(f"{net}: round {number + 1} of {rounds}, {name}")
            runs[name].append(run(name, net, threads))
    progress("")
    found = {"row": f"{net}, batch {NETS[net][2]}", "net": net, "batch": NETS[net][2], "less_is_better": True,
             "target": MEMORY if net == "vgg-small" else None,
             "disagreement": stepwise_disagreement(of_all[0]["losses"] for of_all in runs.values())}
    if found["disagreement"] <= TOLERANCE:
        found["rates"] = {name: amounts([(one["peak"] - one["imported"]) / 1e6 for one in of_all])
                          for name, of_all in runs.items()}
        found["imported"] = {name: amounts([one["imported"] / 1e6 for one in of_all])["median"] for name, of_all in runs.items()}
        ours, *peers = (rate["median"] for rate in found["rates"].values())
        found["ratio"] = ours / min(peers)
    return found


def amounts(values: list[float]) -> dict:
    p20, median, p80 = np.percentile(values, (20, 50, 80))
    return {"median": median, "p20": p20, "p80": p80, "rounds": values, "steps": len(values)}


def main(argv=None) -> int:
    made = parser("Peak memory of training with minicnn and with PyTorch.", rounds=3, seconds=None)
    choice(made, "nets", NETS, ("vgg-small",))
    options = parsed(made, argv)
    if missing("memory_vs_torch", "torch"):
        return MISSING
    found = conditions("memory_vs_torch", options, ("torch",), steps=STEPS, tolerance=TOLERANCE, results=[])
    for net in options.nets:
        found["results"].append(result := compare(net, options.threads, options.rounds))
        if "rates" not in result:
            return refuse("memory_vs_torch", result, f"the losses of {STEPS} steps", TOLERANCE)
    finish(found, rates_table(found, "MB above the imports"), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
