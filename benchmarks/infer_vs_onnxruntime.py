"""Inference beside ONNX Runtime: images per second of four nets, whole batches and one image at a time, the same threads.

    python benchmarks/infer_vs_onnxruntime.py [--nets lenet,mnist] [--threads 2] [--rounds 5] [--seconds 1] [--json]

minicnn runs `net.predict`, the others a graph or a module of the same layers with a softmax behind; all give probabilities
of images that are ready in memory. Before any time is taken their outputs must agree within TOLERANCE of the largest; else
exit code 1 and no more times. Without ONNX Runtime and onnx: exit code 4; without PyTorch its rows are left out.

Each contender is a process of its own (infer_contenders.py), and one at a time runs for a block of `--seconds`: A B A B.
The ratio is that of the medians over all timed calls, to ONNX Runtime.
"""
from __future__ import annotations

import sys

from figures import disagreement, rate, ratio
from measured_nets import NETS
from report import MISSING, choice, conditions, finish, missing, parsed, parser, rates_table, refuse, version
from targets import INFER, INFER_ONE
from workers import Worker, by_turns, hired

TOLERANCE = 1e-4
OURS, PEER, OTHERS = "minicnn", "onnxruntime", ("torch-nchw", "torch-nhwc")


def compare(net: str, threads: int, rounds: int, seconds: float) -> list[dict]:
    """One net, its batch and a single image; without "rates" where the outputs differ, and then nothing behind it."""
    contenders = [OURS, PEER, *(OTHERS if version("torch") else ())]
    results = []
    with hired([Worker(name, "infer_contenders.py", name, net, threads) for name in contenders]) as workers:
        for images, targets in ((NETS[net][2], INFER), (1, INFER_ONE)):
            found = {"row": f"{net}, batch {images}", "net": net, "batch": images, "target": targets[net]}
            results.append(found)
            found["disagreement"] = disagreement(worker.ask("outputs", images) for worker in workers)
            if not found["disagreement"] <= TOLERANCE:
                break
            blocks = by_turns(workers, rounds, "infer", images, seconds)
            found["rates"] = {name: rate(images, of_worker) for name, of_worker in blocks.items()}
            found |= ratio(found["rates"][OURS], [found["rates"][PEER]])
    return results


def main(argv=None) -> int:
    made = parser("Inference of minicnn and ONNX Runtime, side by side.", rounds=5, seconds=1)
    choice(made, "nets", NETS)
    options = parsed(made, argv)
    if missing("infer_vs_onnxruntime", "onnxruntime", "onnx"):
        return MISSING
    found = conditions("infer_vs_onnxruntime", options, ("onnxruntime", "onnx", "torch"), tolerance=TOLERANCE, results=[])
    for net in options.nets:
        found["results"] += compare(net, options.threads, options.rounds, options.seconds)
        if "rates" not in (last := found["results"][-1]):
            return refuse("infer_vs_onnxruntime", last, "the outputs", TOLERANCE)
    finish(found, rates_table(found, "images per second"), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
