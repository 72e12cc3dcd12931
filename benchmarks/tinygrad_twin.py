"""The same net in tinygrad, whose CPU device compiles its kernels with clang; a whole training step under its TinyJit.

In PyTorch's axes and with the weights of `minicnn.to_torch_state`, as tinygrad's layers have them. It is left to its own
choice of threads, on `threads` cores; no search for faster kernels (BEAM).
"""
from __future__ import annotations

import os

import numpy as np
from measured_nets import batches, first_net

import minicnn as mc
from minicnn.layers.windows import pads


class Tinygrad:
    def __init__(self, name: str, threads: int, lr: float, momentum: float):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        os.environ["DEV"] = "CPU"
        import tinygrad
        from tinygrad.helpers import Context
        self.lib, self.training, self.rates = tinygrad, Context(TRAINING=1), (lr, momentum)
        self.net = first_net(name)
        self.state = mc.to_torch_state(self.net)
        self.batches = [(tinygrad.Tensor(np.array(x.transpose(0, 3, 1, 2), order="C")).realize(),
                         tinygrad.Tensor(labels.astype(np.int32)).realize()) for x, labels in batches(name)]
        self.compiled = None

    def restart(self) -> None:
        """The first weights again; into the same arrays, to which the compiled step is bound."""
        tensor, nn = self.lib.Tensor, self.lib.nn
        if self.compiled is None:
            self.modules = [_module(self.lib, layer, f"{i}.", self.state) for i, layer in enumerate(self.net.layers)]
            self.params = nn.state.get_parameters([module for module, _ in self.modules if module is not None])
            self.first = [param.numpy() for param in self.params]
            lr, momentum = self.rates
            learned = [param for param in self.params if param.is_param]
            self.optimizer = nn.optim.SGD(learned, lr, momentum)
            self.compiled = self.lib.TinyJit(self._step)
        for param, first in zip(self.params, self.first, strict=True):
            param.assign(tensor(first)).realize()
        for velocity in self.optimizer.b:
            velocity.assign(velocity.zeros_like()).realize()

    def _step(self, x, labels):
        for module, call in self.modules:
            x = call(module, x)
        self.optimizer.zero_grad()
        loss = x.sparse_categorical_crossentropy(labels)
        loss.backward()
        return loss.realize(*self.optimizer.schedule_step())

    def step(self, x, labels) -> float:
        with self.training:
            return self.compiled(x, labels).item()


def _module(lib, layer: mc.Layer, key: str, state: dict):
    """(module or None, call(module, x)), the module with copies of the weights."""
    nn = lib.nn
    match layer:
        case mc.Conv2D():
            top, bottom, left, right = pads(layer.padding, *layer.input_shape[:2], layer.size, layer.stride)
            made = nn.Conv2d(layer.input_shape[-1], layer.filters, layer.size, layer.stride, (left, right, top, bottom),
                             bias=layer.bias)
        case mc.Dense():
            made = nn.Linear(layer.input_shape[0], layer.units, bias=layer.bias)
        case mc.BatchNorm():
            made = nn.BatchNorm(layer.input_shape[-1], eps=layer.eps, momentum=1 - layer.momentum)
        case mc.MaxPool2D() if layer.padding in (0, "valid"):
            return None, lambda _, x: x.max_pool2d(layer.size, layer.stride)
        case mc.ReLU():
            return None, lambda _, x: x.relu()
        case mc.Flatten():
            return None, lambda _, x: x.flatten(1)
        case _:
            raise ValueError(f"{layer!r} is not known here; add it to benchmarks/tinygrad_twin.py")
    for name in ("weight", "bias", "running_mean", "running_var"):
        if key + name in state:
            getattr(made, name).assign(lib.Tensor(state[key + name])).realize()
    return made, lambda module, x: module(x)
