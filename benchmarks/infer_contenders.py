"""One contender of a comparison of inference, in a process of its own.

    python benchmarks/infer_contenders.py CONTENDER NET THREADS

Commands (workers.py), for batches of IMAGES; the inputs are ready in memory, in the contender's own axes:

    outputs IMAGES              the probabilities of the first batch
    infer IMAGES SECONDS        the seconds that each call took, for SECONDS at least, after a few calls that do not count
"""
from __future__ import annotations

import functools
import itertools
import sys

import numpy as np
from figures import timed
from measured_nets import batches, trained_net
from workers import serve

WARM_CALLS = 3


class Minicnn:
    """`net.predict`, as a user calls it."""

    def __init__(self, name: str, threads: int):
        self.predict = trained_net(name, threads).predict

    def calls(self, xs: list[np.ndarray]) -> list:
        return [functools.partial(self.predict, x) for x in xs]


class Torch:
    """Eager, in inference mode; memory_format: "nchw" or "nhwc"."""

    def __init__(self, name: str, threads: int, memory_format: str):
        import torch
        from torch_twin import layout, twin
        torch.set_num_threads(threads)
        self.torch, self.layout = torch, layout(memory_format)
        self.model = torch.nn.Sequential(twin(trained_net(name)), torch.nn.Softmax(dim=1)).to(**self.layout).eval()

    def calls(self, xs: list[np.ndarray]) -> list:
        from torch_twin import to_torch

        def call(x):
            with self.torch.inference_mode():
                return self.model(x).numpy()
        return [functools.partial(call, to_torch(x).contiguous(**self.layout)) for x in xs]


class OnnxRuntime:
    """Every optimization on, one session for each size of batch."""

    def __init__(self, name: str, threads: int):
        import onnxruntime
        self.runtime, self.net = onnxruntime, trained_net(name)
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads, self.options.inter_op_num_threads = threads, 1
        self.options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def calls(self, xs: list[np.ndarray]) -> list:
        from onnx_twin import graph
        model = graph(self.net, len(xs[0])).SerializeToString()
        session = self.runtime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
        feeds = [{"x": np.array(x.transpose(0, 3, 1, 2), order="C")} for x in xs]
        return [lambda feed=feed: session.run(None, feed)[0] for feed in feeds]


def main(contender: str, net: str, threads: str) -> None:
    library, _, memory_format = contender.partition("-")
    options = (memory_format,) if memory_format else ()
    runner = {"minicnn": Minicnn, "torch": Torch, "onnxruntime": OnnxRuntime}[library](net, int(threads), *options)

    @functools.cache
    def calls(images: int) -> list:
        return runner.calls([x for x, _ in batches(net, images)])

    def answer(command: str, images: int, seconds: float = 0):
        if command == "outputs":
            return calls(images)[0]().tolist()
        endless = itertools.cycle(calls(images))
        for call in itertools.islice(endless, WARM_CALLS):
            call()
        return timed(endless, seconds)

    serve(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
