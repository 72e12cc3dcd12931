"""Training speed beside PyTorch's: images per second of whole training steps, four nets, the same threads and batches.

    python benchmarks/train_vs_torch.py [--nets lenet,mnist] [--threads 2] [--rounds 7] [--seconds 2] [--json]

Before any time is taken the contenders prove that they do the same work: from the same weights, over the same batches,
their losses must agree for STEPS steps within TOLERANCE; else exit code 1 and no times. Without PyTorch: exit code 4.

Each contender is a process of its own (train_contenders.py), and one at a time trains for a block of `--seconds`: A B C D,
A B C D. The ratio is that of the medians over all timed steps, to the faster of PyTorch's two memory formats. The last one is
as many processes of one thread as there are threads, all at once: they share nothing, so what they gain over one is what the
machine lets so many threads gain.
"""
from __future__ import annotations

import sys

from figures import rate, ratio, stepwise_disagreement
from measured_nets import NETS
from report import MISSING, choice, conditions, finish, missing, parsed, parser, rates_table, refuse
from targets import SCALING, TRAIN
from train_contenders import LR, MOMENTUM
from workers import Together, Worker, by_turns, hired

STEPS, TOLERANCE = 5, 1e-4          # relative; measured: 1e-5 on vgg-small, where float32 is as far from float64 on both sides
TORCH = ("torch-nchw", "torch-nhwc")


def named(contender: str, threads: int) -> str:
    return f"{contender}, {threads} thread{'s' * (threads > 1)}"


def compare(net: str, threads: int, rounds: int, seconds: float) -> dict:
    """One net: losses, rates and ratios; without rates where the losses differ."""
    batch = NETS[net][2]
    sides = [("minicnn", threads), *((name, threads) for name in TORCH)] + [("minicnn", 1)] * (threads > 1)
    workers = [Worker(named(name, count), "train_contenders.py", name, net, count) for name, count in sides]
    apart = [Worker(named("minicnn", 1), "train_contenders.py", "minicnn", net, 1) for _ in range(threads) if threads > 1]
    together = [Together(f"minicnn, {threads} processes", apart)] if apart else []
    with hired(workers + together):
        losses = {worker.name: worker.ask("losses", STEPS) for worker in workers}
        found = {"row": f"{net}, batch {batch}", "net": net, "batch": batch, "losses": losses, "target": TRAIN[net],
                 "disagreement": stepwise_disagreement(losses.values())}
        if not found["disagreement"] <= TOLERANCE:
            return found
        blocks = by_turns(workers + together, rounds, "train", seconds)
    rates = {name: rate(batch, of_worker) for name, of_worker in blocks.items()}
    ours = rates[named("minicnn", threads)]
    found |= {"rates": rates} | ratio(ours, [rates[named(name, threads)] for name in TORCH])
    if threads > 1:
        alone = rates[named("minicnn", 1)]["median"]
        found |= {"scaling": ours["median"] / alone, "scaling_of_processes": rates[together[0].name]["median"] / alone,
                  "scaling_target": SCALING.get(net) if threads == 2 else None}
    return found


def main(argv=None) -> int:
    made = parser("Training speed of minicnn and PyTorch, side by side.", rounds=7, seconds=2)
    choice(made, "nets", NETS)
    options = parsed(made, argv)
    if missing("train_vs_torch", "torch"):
        return MISSING
    found = conditions("train_vs_torch", options, ("torch",), lr=LR, momentum=MOMENTUM, loss_steps=STEPS, tolerance=TOLERANCE,
                       results=[])
    for net in options.nets:
        found["results"].append(result := compare(net, options.threads, options.rounds, options.seconds))
        if "rates" not in result:
            print(*(f"  {name}: {values}" for name, values in result["losses"].items()), sep="\n", file=sys.stderr)
            return refuse("train_vs_torch", result, f"the losses of {STEPS} steps", TOLERANCE)
    finish(found, rates_table(found, "images per second"), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
