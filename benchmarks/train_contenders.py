"""One contender of a comparison of training speed, in a process of its own, which trains a net when it is told to.

    python benchmarks/train_contenders.py CONTENDER NET THREADS

Every command (workers.py) begins with the first weights again, and walks over the same few batches:

    losses STEPS        the loss of each of the first steps
    train SECONDS       the seconds that each step took, for SECONDS at least, after a few steps that do not count

A step is what a user's loop does with a batch that is ready in memory: forward, loss, backward, update, and the loss as
a number. All sides: float32, softmax cross-entropy, SGD with momentum, PyTorch's axes and memory format for PyTorch.
"""
from __future__ import annotations

import importlib
import itertools
import sys

from figures import timed
from measured_nets import batches, first_net
from workers import serve

import minicnn as mc

LR, MOMENTUM = 0.001, 0.9           # with more, noise as input makes the losses rise, and rounding rise with them
WARM_STEPS = 3


class Minicnn:
    def __init__(self, name: str, threads: int):
        self.batches = batches(name)
        self.trainer = mc.Trainer(first_net(name), mc.SGD(LR, momentum=MOMENTUM), threads=threads)
        self.first = self.trainer.state()

    def restart(self) -> None:
        self.trainer.load_state(self.first)

    def step(self, x, labels) -> float:
        return self.trainer.step(x, labels)


class Torch:
    """memory_format: "nchw" (PyTorch's default) or "nhwc" (channels_last, of weights and images)."""

    def __init__(self, name: str, threads: int, memory_format: str):
        import torch
        from torch_twin import layout, to_torch, twin
        torch.set_num_threads(threads)
        self.torch = torch
        self.batches = [(to_torch(x).contiguous(**layout(memory_format)), torch.from_numpy(labels))
                        for x, labels in batches(name)]
        self.model = twin(first_net(name)).to(**layout(memory_format)).train()
        self.loss = torch.nn.CrossEntropyLoss()
        self.first = {key: tensor.clone() for key, tensor in self.model.state_dict().items()}

    def restart(self) -> None:
        self.model.load_state_dict(self.first)
        self.optimizer = self.torch.optim.SGD(self.model.parameters(), LR, MOMENTUM)

    def step(self, x, labels) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def trainer(contender, command: str, amount) -> list[float]:
    """The answer to one command."""
    contender.restart()
    steps = (lambda batch=batch: contender.step(*batch) for batch in itertools.cycle(contender.batches))
    if command == "losses":
        return [step() for step in itertools.islice(steps, amount)]
    for step in itertools.islice(steps, WARM_STEPS):
        step()
    return timed(steps, amount)


PEERS = {"jax": ("jax_twin", "Jax"), "tinygrad": ("tinygrad_twin", "Tinygrad"), "naive": ("naive_numba", "Naive")}


def main(contender: str, net: str, threads: str) -> None:
    library, _, memory_format = contender.partition("-")
    if library in PEERS:
        module, kind = PEERS[library]
        runner = getattr(importlib.import_module(module), kind)(net, int(threads), LR, MOMENTUM)
    else:
        options = (memory_format,) if memory_format else ()
        runner = {"minicnn": Minicnn, "torch": Torch}[library](net, int(threads), *options)
    serve(lambda command, amount: trainer(runner, command, amount))


if __name__ == "__main__":
    main(*sys.argv[1:])
