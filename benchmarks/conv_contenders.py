"""One contender of conv_vs_torch.py, in a process of its own: 3x3 convolutions with stride 1 and padding 1.

    python benchmarks/conv_contenders.py CONTENDER THREADS

    output SHAPE DIRECTION FOLDER       writes what comes out, in minicnn's layouts, to FOLDER/CONTENDER.npz
    time SHAPE DIRECTION SECONDS        the seconds that each call took, for SECONDS at least, after calls that do not count

minicnn's kernels run on one thread, so slices of the batch are given to a pool of threads, as its engine does; weight
gradients are made for each slice and then added. Its outputs lie in arrays that are used again, as those of its engine do;
PyTorch takes its own from its allocator. The weight gradient comes with that of the bias, on both sides.
"""
from __future__ import annotations

import functools
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from figures import timed
from workers import serve

from minicnn import kernels

# name -> (images, channels, filters, rows and columns)
SHAPES = {
    "64-64@32": (64, 64, 64, 32), "64-128@16": (128, 64, 128, 16), "128-128@16": (128, 128, 128, 16),
    "128-256@8": (128, 128, 256, 8), "256-256@8": (128, 256, 256, 8),
}
DIRECTIONS = ("forward", "backward_input", "backward_weight")
WINDOW = (1, 1, 1, 1)           # strides, pads
WARM_CALLS = 2
SLICE = 8                       # images, at least


@functools.lru_cache(1)
def arrays(shape: str) -> dict[str, np.ndarray]:
    N, C, K, H = SHAPES[shape]
    rng = np.random.default_rng(0)
    made = {"x": rng.standard_normal((N, H, H, C)), "w": rng.standard_normal((3, 3, C, K)) / np.sqrt(9 * C),
            "b": rng.standard_normal(K), "dy": rng.standard_normal((N, H, H, K))}
    return {name: array.astype(np.float32) for name, array in made.items()}


class Minicnn:
    def __init__(self, threads: int):
        self.threads, self.pool = threads, ThreadPoolExecutor(threads)

    def call(self, shape: str, direction: str):
        """A function that computes one direction and returns its outputs."""
        x, w, b, dy = arrays(shape).values()
        images = len(x)
        count = max(min(self.threads, images), min(4 * self.threads, images // SLICE))
        cuts = [slice(images * i // count, images * (i + 1) // count) for i in range(count)]
        kernel = kernels.get(f"conv2d_{direction}", np.float32)
        if direction == "backward_weight":
            parts = [(np.empty_like(w), np.empty_like(b)) for _ in cuts]
            jobs = [functools.partial(kernel, x[cut], dy[cut], *part, *WINDOW) for cut, part in zip(cuts, parts, strict=True)]
        elif direction == "forward":
            out = np.empty_like(dy)
            jobs = [functools.partial(kernel, x[cut], w, b, out[cut], *WINDOW) for cut in cuts]
        else:
            out = np.empty_like(x)
            jobs = [functools.partial(kernel, dy[cut], w, out[cut], *WINDOW) for cut in cuts]

        def run():
            for done in [self.pool.submit(job) for job in jobs]:
                done.result()
            return [functools.reduce(np.add, of_all) for of_all in zip(*parts, strict=True)] \
                if direction == "backward_weight" else [out]
        return run


class Torch:
    """memory_format: "nchw" or "nhwc", of images and weights."""

    def __init__(self, threads: int, memory_format: str):
        import torch
        from torch_twin import layout
        torch.set_num_threads(threads)
        self.torch, self.layout = torch, layout(memory_format)

    def call(self, shape: str, direction: str):
        given = arrays(shape)
        axes = {"x": (0, 3, 1, 2), "w": (3, 2, 0, 1), "b": (0,), "dy": (0, 3, 1, 2)}
        x, w, b, dy = (self.torch.from_numpy(np.array(array.transpose(axes[name]), order="C")) for name, array in given.items())
        x, w, dy = (tensor.contiguous(**self.layout) for tensor in (x, w, dy))
        places = (len(b),), (1, 1), (1, 1), (1, 1), False, (0, 0), 1    # of the bias; stride, padding, dilation; groups
        if direction == "forward":
            return lambda: [self.torch.nn.functional.conv2d(x, w, b, padding=1)]
        wanted = (True, False, False) if direction == "backward_input" else (False, True, True)
        backward = self.torch.ops.aten.convolution_backward
        return lambda: [made for made in backward(dy, x, w, *places, wanted) if made is not None]


def here(direction: str, made) -> np.ndarray:
    """A tensor in minicnn's layout."""
    array = made.numpy()
    return array if array.ndim == 1 else array.transpose((2, 3, 1, 0) if direction == "backward_weight" else (0, 2, 3, 1))


def main(contender: str, threads: str) -> None:
    library, _, memory_format = contender.partition("-")
    runner = Minicnn(int(threads)) if library == "minicnn" else Torch(int(threads), memory_format)
    call = functools.lru_cache(1)(runner.call)

    def answer(command: str, shape: str, direction: str, last):
        run = call(shape, direction)
        if command == "output":
            made = [array if isinstance(array, np.ndarray) else here(direction, array) for array in run()]
            np.savez(Path(last) / f"{contender}.npz", *made)
            return None
        for _ in range(WARM_CALLS):
            run()
        return timed(itertools.repeat(run), last)

    serve(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
