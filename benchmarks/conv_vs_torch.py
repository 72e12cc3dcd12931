"""3x3 convolutions with 64 channels and more beside PyTorch's: GFLOP/s forward and backward, the same shapes and threads.

    python benchmarks/conv_vs_torch.py [--shapes 64-64@32] [--threads 2] [--rounds 5] [--seconds 0.5] [--json]

64-128@16 has 64 input channels, 128 filters and maps of 16x16. FLOP are those of the direct formula, 2 N P Q R S C K, for
whatever algorithm a contender takes. Before any time is taken all outputs must agree within TOLERANCE of the largest; else
exit code 1 and no more times. Without PyTorch: exit code 4.

Each contender is a process of its own (conv_contenders.py), and one at a time runs for a block of `--seconds`: A B C A B C.
The ratio is that of the medians over all timed calls, to the faster of PyTorch's two memory formats.
"""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from conv_contenders import DIRECTIONS, SHAPES
from figures import disagreement, rate, ratio
from report import MISSING, choice, conditions, finish, missing, parsed, parser, rates_table, refuse
from targets import CONV
from workers import Worker, by_turns, hired

TOLERANCE = 1e-4
CONTENDERS = ("minicnn", "torch-nchw", "torch-nhwc")


def gflop(shape: str) -> float:
    N, C, K, H = SHAPES[shape]
    return 2 * N * H * H * 9 * C * K / 1e9


def apart(workers: list[Worker], shape: str, direction: str) -> float:
    """How far the outputs lie apart, of all arrays the most."""
    with tempfile.TemporaryDirectory() as folder:
        for worker in workers:
            worker.ask("output", shape, direction, folder)
        files = [np.load(Path(folder) / f"{worker.name}.npz") for worker in workers]
        return float(np.max([disagreement(file[name] for file in files) for name in files[0].files]))


def compare(workers: list[Worker], shape: str, direction: str, rounds: int, seconds: float) -> dict:
    """One shape in one direction; without "rates" where the outputs differ."""
    found = {"row": f"{shape}, batch {SHAPES[shape][0]}, {direction}", "shape": shape, "direction": direction, "target": CONV,
             "disagreement": apart(workers, shape, direction)}
    if found["disagreement"] <= TOLERANCE:
        blocks = by_turns(workers, rounds, "time", shape, direction, seconds)
        found["rates"] = {name: rate(gflop(shape), of_worker) for name, of_worker in blocks.items()}
        ours, *peers = found["rates"].values()
        found |= ratio(ours, peers)
    return found


def main(argv=None) -> int:
    made = parser("3x3 convolutions of minicnn and PyTorch, side by side.", rounds=5, seconds=0.5)
    choice(made, "shapes", SHAPES)
    choice(made, "directions", DIRECTIONS)
    options = parsed(made, argv)
    if missing("conv_vs_torch", "torch"):
        return MISSING
    found = conditions("conv_vs_torch", options, ("torch",), tolerance=TOLERANCE, results=[])
    with hired([Worker(name, "conv_contenders.py", name, options.threads) for name in CONTENDERS]) as workers:
        for shape, direction in ((s, d) for s in options.shapes for d in options.directions):
            found["results"].append(result := compare(workers, shape, direction, options.rounds, options.seconds))
            if "rates" not in result:
                return refuse("conv_vs_torch", result, "the outputs", TOLERANCE)
    finish(found, rates_table(found, "GFLOP/s"), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
