"""Training speed beside other libraries, as far as they are installed: JAX, tinygrad, and plain loops under Numba.

    python benchmarks/peers.py [--nets lenet,mnist] [--peers jax,naive] [--threads 2] [--rounds 3] [--seconds 2] [--json]

The work, the proof of it and the turns are those of train_vs_torch.py; the ratio is to the fastest peer. A peer that is not
installed, can not run or computes other losses says so in its row, and the others go on. No target: these rows are for
orientation.
"""
from __future__ import annotations

import shutil
import sys

from figures import disagreement, rate, ratio, stepwise_disagreement
from measured_nets import NETS
from report import choice, conditions, finish, parsed, parser, rates_table, version
from train_contenders import LR, MOMENTUM
from train_vs_torch import TOLERANCE
from workers import Worker, by_turns, hired

STEPS = 3
PEERS = ("jax", "tinygrad", "naive")
TOO_SLOW = {("naive", "vgg-small"): "left out: it knows no batch norm, and a step would take about a minute",
            ("tinygrad", "vgg-small"): "left out: the first two steps took two minutes of a core"}


def unable(peer: str, net: str) -> str:
    """Why a peer is not even started; empty where it is."""
    if peer != "naive" and not version(peer):
        return "not installed"
    if peer == "tinygrad" and not shutil.which("clang"):
        return "needs clang, which is not in PATH"
    return TOO_SLOW.get((peer, net), "")


def compare(net: str, peers: list[str], threads: int, rounds: int, seconds: float) -> dict:
    """One net: rates, ratios, and why a peer has none."""
    batch = NETS[net][2]
    left_out = {peer: reason for peer in peers if (reason := unable(peer, net))}
    names = ["minicnn", *(peer for peer in peers if peer not in left_out)]
    with hired([Worker(name, "train_contenders.py", name, net, threads) for name in names]) as workers:
        losses = {"minicnn": workers[0].ask("losses", STEPS)}
        for worker in workers[1:]:
            try:
                answer = worker.ask("losses", STEPS)
            except RuntimeError as failure:
                left_out[worker.name] = str(failure).removeprefix(f"{worker.name}: ")
                continue
            apart = stepwise_disagreement([losses["minicnn"], answer])
            if apart <= TOLERANCE:
                losses[worker.name] = answer
            else:
                left_out[worker.name] = f"its losses differ by {apart:.1e}"
        blocks = by_turns([worker for worker in workers if worker.name in losses], rounds, "train", seconds)
    rates = {name: rate(batch, of_worker) for name, of_worker in blocks.items()}
    found = {"row": f"{net}, batch {batch}", "net": net, "batch": batch, "rates": rates, "left_out": left_out,
             "disagreement": max(disagreement(pair) for pair in zip(*losses.values(), strict=True)), "target": None}
    ours, *others = rates.values()
    return found | (ratio(ours, others) if others else {"ratio": None})


def main(argv=None) -> int:
    made = parser("Training speed of minicnn and of other libraries.", rounds=3, seconds=2)
    choice(made, "nets", NETS)
    choice(made, "peers", PEERS)
    options = parsed(made, argv)
    found = conditions("peers", options, ("jax", "tinygrad"), lr=LR, momentum=MOMENTUM, loss_steps=STEPS, tolerance=TOLERANCE)
    found["results"] = [compare(net, options.peers, options.threads, options.rounds, options.seconds) for net in options.nets]
    finish(found, rates_table(found, "images per second"), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
