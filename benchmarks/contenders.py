"""One contender of train_vs_torch.py, in a process of its own, which trains a net when it is told to.

    python benchmarks/contenders.py CONTENDER NET THREADS

It reads a command a line and answers each with a line of JSON. Every command begins with the first weights again, and
walks over the same few batches:

    losses STEPS        the loss of each of the first steps
    train SECONDS       the seconds that each step took, for SECONDS at least, after a few steps that do not count

A step is what a user's loop does with a batch that is ready in memory: forward, loss, backward, update, and the loss as
a number. Both sides: float32, softmax cross-entropy, SGD with momentum, PyTorch's axes and memory format for PyTorch.
"""
from __future__ import annotations

import itertools
import json
import sys
import time

import numpy as np

import minicnn as mc

# name -> (layers, input shape, images of a batch)
NETS = {
    "lenet": (mc.nets.lenet, (28, 28, 1), 128),
    "mnist": (lambda shape, classes: mc.nets.mnist(shape, classes, dropout=0), (28, 28, 1), 128),
    "tinyvgg": (mc.nets.tinyvgg, (64, 64, 3), 64),
    "vgg-small": (mc.nets.vgg_small, (32, 32, 3), 128),
}
CLASSES = 10
LR, MOMENTUM = 0.001, 0.9           # with more, noise as input makes the losses rise, and rounding rise with them
BATCHES, WARM_STEPS = 4, 3


def first_net(name: str) -> mc.Sequential:
    make, shape, _ = NETS[name]
    return mc.Sequential(make(shape, CLASSES), shape, seed=0)


def batches(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, labels) of noise: training time does not depend on the values, as long as they stay ordinary."""
    rng, (_, shape, n) = np.random.default_rng(0), NETS[name]
    return [(rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, CLASSES, n)) for _ in range(BATCHES)]


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
        from torch_twin import to_torch, twin
        torch.set_num_threads(threads)
        self.torch = torch
        layout = {"memory_format": {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}[memory_format]}
        self.batches = [(to_torch(x).contiguous(**layout), torch.from_numpy(labels)) for x, labels in batches(name)]
        self.model = twin(first_net(name)).to(**layout).train()
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


def losses(contender, steps: int) -> list[float]:
    contender.restart()
    return [contender.step(*batch) for batch in itertools.islice(itertools.cycle(contender.batches), steps)]


def train(contender, seconds: float) -> list[float]:
    losses(contender, WARM_STEPS)
    times, start = [], time.perf_counter()
    for batch in itertools.cycle(contender.batches):
        before = time.perf_counter()
        contender.step(*batch)
        after = time.perf_counter()
        times.append(after - before)
        if after - start >= seconds:
            return times


def main(contender: str, net: str, threads: str) -> None:
    library, _, memory_format = contender.partition("-")
    options = (memory_format,) if memory_format else ()
    runner = {"minicnn": Minicnn, "torch": Torch}[library](net, int(threads), *options)
    for line in sys.stdin:
        command, number = line.split()
        answer = losses(runner, int(number)) if command == "losses" else train(runner, float(number))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
