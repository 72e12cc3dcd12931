"""What each step of docs/kernels.md brings: from loops to register tiles to Winograd, from layers to recorded steps.

    python benchmarks/steps.py [--parts conv,pool,step] [--rounds 7] [--seconds 0.3] [--json] [--write]

Three walks, each a list of contenders for the same work, every one of them a step further than the one above:

    conv   forward convolution of 16 images, 64 -> 64 channels on 32x32, 3x3, padding 1, on one thread
    pool   forward and backward of conv 32 -> 64 @ 3, ReLU and max pool on 16 images of 13x13, on one thread
    step   a training step of LeNet-5, 128 images

In one process, by turns: a block of each contender, then the next round. Times are medians over all calls of all rounds,
with the percentiles 20 and 80. First all must agree within TOLERANCE of the largest value, the convolutions with the
reference column too; else exit code 1. --write puts the table in the place of the last one in docs/kernels.md.
"""
from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
from figures import stepwise_disagreement, timed
from measured_nets import batches, first_net
from report import choice, conditions, finish, heading, parsed, parser, refuse
from workers import progress

import minicnn as mc
from minicnn import kernels
from minicnn.kernels import tape
from minicnn.lab.arguments import build
from minicnn.lab.problems import parse
from minicnn.layers import chain
from minicnn.layers.fused import fuse

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- steps -->\n", "<!-- end of steps -->"
TOLERANCE = 1e-4
PROBLEM = "mb16ic64ih32oc64kh3ph1"      # 16 images of 32x32, 64 -> 64 channels, 3x3, padding 1
IMAGES = 16                         # of the pool
LOSSES = 5                          # steps of training whose losses must agree


def example(name: str) -> Callable:
    """A function of docs/examples/conv2d.py."""
    spec = importlib.util.spec_from_file_location("conv2d_example", DOCS / "examples" / "conv2d.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def conv() -> tuple[str, dict[str, Callable], list]:
    """(title, calls, what each of them answers: a list of arrays or numbers)."""
    problem, column = parse(PROBLEM, "conv2d_forward"), kernels.function("cpu", "conv2d_forward")
    functions = {"naive loops": example("naive"), "lanes over channels": example("lanes"),
                 "register tiles": column.direct, "Winograd": column.other}
    calls, answers = {}, []
    for name, function in (functions | {"reference": kernels.function("reference", "conv2d_forward")}).items():
        args = build(problem)                           # the same values for all
        function(*args)
        answers.append([args[3]])
        if name in functions:
            calls[name] = functools.partial(function, *args)
    return f"forward convolution {PROBLEM}, 1 thread", calls, answers


def pool() -> tuple[str, dict[str, Callable], list]:
    rng = np.random.default_rng(0)
    net = mc.Sequential([mc.Conv2D(64, 3), mc.ReLU(), mc.MaxPool2D(2)], (13, 13, 32), seed=0, threads=1)
    x = rng.standard_normal((IMAGES, *net.input_shape), np.float32)
    dy = rng.standard_normal((IMAGES, *net.output_shape), np.float32)

    def run(layers, exact=False):
        with kernels.use(exact=exact):
            y, caches = chain.forward(layers, x, True, None)
            return y, chain.backward(layers, dy, caches)

    calls = {"three layers, register tiles": lambda: run(net.layers, exact=True),
             "winners only: one kernel in each direction": lambda: run(fuse(net.layers)),
             "three layers, Winograd": lambda: run(net.layers)}
    answers = [[y, dx, grads[0]["w"], grads[0]["b"]] for y, (dx, grads) in (call() for call in calls.values())]
    return f"conv 32 -> 64 @ 3, ReLU, max pool on 13x13, {IMAGES} images, forward and backward, 1 thread", calls, answers


def step() -> tuple[str, dict[str, Callable], list]:
    own = kernels.function("cpu", "relu_forward")        # a kernel that was put in by hand: nothing is fused or recorded
    ways = {
        "layer by layer, 1 thread": (1, lambda: kernels.use(relu_forward=own)),
        "convolution, ReLU and pool as one, 1 thread": (1, lambda: patch.object(tape, "available", False)),
        "recorded and played back, 1 thread": (1, ExitStack),
        "shards on 2 threads": (2, ExitStack),
    }
    data, calls, answers = batches("lenet"), {}, []
    for name, (threads, switch) in ways.items():
        trainer = mc.Trainer(first_net("lenet"), mc.SGD(0.001, momentum=0.9), threads=threads)

        def call(trainer=trainer, switch=switch, number=0):
            with switch():
                return trainer.step(*data[number % len(data)])
        answers.append([call(number=number) for number in range(LOSSES)])
        calls[name] = call
    return "training step of LeNet-5, 128 images", calls, answers


PARTS = {"conv": conv, "pool": pool, "step": step}


def measure(title: str, calls: dict[str, Callable], rounds: int, seconds: float) -> list[dict]:
    """Seconds of each contender, in the order of the walk."""
    times: dict[str, list] = {name: [] for name in calls}
    for number in range(rounds):
        progress(f"{title}, round {number + 1}")
        for name, call in calls.items():
            call()                                      # caches and pools as this contender leaves them
            times[name] += timed([call] * 100_000, seconds)
    progress("")
    return [{"step": name, "calls": len(taken)} | dict(zip(("p20", "median", "p80"), np.percentile(taken, (20, 50, 80)).tolist(),
                                                           strict=True)) for name, taken in times.items()]


def table(found: dict) -> str:
    """Markdown: the conditions, then one table for each walk."""
    lines = [f"{found['date']}. {'. '.join(heading(found)[:2])}. Medians of {found['rounds']} rounds by turns, "
             f"{found['seconds']:g} s for each way and round."]
    for result in found["results"]:
        lines += ["", f"| {result['row']} | ms | percentiles 20 to 80 | step | all steps |", "|---" * 5 + "|"]
        first = before = result["steps"][0]["median"]
        for one in result["steps"]:
            gain = f"{before / one['median']:.3g}x | {first / one['median']:.3g}x" if one is not result["steps"][0] else "– | –"
            p20, median, p80 = (f"{one[key] * 1e3:.3g}" for key in ("p20", "median", "p80"))
            lines.append(f"| {one['step']} | {median} | {p20} to {p80} | {gain} |")
            before = one["median"]
    return "\n".join(lines) + "\n"


def rewritten(page: str, text: str) -> str:
    """The page with `text` between its markers. Raises ValueError where they are missing."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN.strip()} with an {END} behind it")
    return head + begin + text + end + tail


def main(argv=None) -> int:
    made = parser("The steps of docs/kernels.md.", rounds=7, seconds=0.3, threads=None)
    choice(made, "parts", PARTS)
    made.add_argument("--write", action="store_true", help="put the table into docs/kernels.md")
    options = parsed(made, argv)
    found = conditions("steps", options, (), tolerance=TOLERANCE, results=[])
    for part in options.parts:
        title, calls, answers = PARTS[part]()
        result = {"row": title, "disagreement": stepwise_disagreement(answers)}
        if not result["disagreement"] <= TOLERANCE:
            return refuse("steps", result, "the ways", TOLERANCE)
        found["results"].append(result | {"steps": measure(title, calls, options.rounds, options.seconds)})
    finish(found, table(found), options)
    if options.write:
        page = DOCS / "kernels.md"
        page.write_text(rewritten(page.read_text("utf-8"), table(found)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
