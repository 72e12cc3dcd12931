"""Sequential: a net as a list of layers, each fed with the output of the one before.

    y = f_L(... f_2(f_1(x)))            dx = J_1^T J_2^T ... J_L^T dy            J_i: the Jacobian of layer i

x (N, *input_shape), y (N, *output_shape). How a batch is cut into shards and spread over threads is engine.py's affair.
"""
from __future__ import annotations

import hashlib
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import shapes, summary
from .arguments import whole
from .layers import Layer, Softmax
from .layers.base import batch_text, build, shape_text
from .layers.chain import flatten, name_layers

if TYPE_CHECKING:
    from .engine import Engine
    from .profile import Profile
    from .random import Keys

PREDICT_BATCH = 256         # images at a time in predict, to bound its memory


class Answer(NamedTuple):
    """What `classify` says of one picture. probabilities: (classes,), in the order of net.classes."""

    label: str
    probability: float
    probabilities: np.ndarray


class Sequential:
    """A net of `layers` for inputs of `input_shape`, (H, W, C) or (C,).

    seed: of the first weights; None makes placeholders, to be filled by `load_tensors`.  dtype: "float32" or "float64".
    threads: None for all usable cores.  classes, preprocessing: set by `fit`, and stored in the model file.
    Raises LayerError (a ValueError) that names the first layer whose input does not fit.
    """

    def __init__(self, layers: list[Layer], input_shape: tuple[int, ...], seed: int | None = 0, dtype="float32",
                 threads: int | None = None):
        self.layers = _checked_layers(layers)
        self.input_shape = shapes.checked_shape(input_shape)
        self.seed = None if seed is None else whole(seed, "seed", 0, 2**63 - 1)
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype}")
        self.threads = None if threads is None else whole(threads, "threads")
        self.classes: list[str] | None = None
        self.preprocessing: dict[str, Any] | None = None
        name_layers(self.layers)
        self.output_shape = shapes.build_layers(self.layers, self.input_shape, self.seed)
        if self.seed is not None:
            self.load_tensors(self.tensors())           # copies in the net's dtype
        for layer in self.all_layers():
            layer.taken = True

    @cached_property
    def engine(self) -> Engine:
        """What runs the layers, shard by shard."""
        from .engine import Engine
        return Engine(self.layers, self.input_shape, self.threads)

    @property
    def logit_layers(self) -> tuple[Layer, ...]:
        """The layers that are trained: all but a Softmax at the end, which the loss contains."""
        return self.layers[:-1] if isinstance(self.layers[-1], Softmax) else self.layers

    @cached_property
    def probability_layers(self) -> tuple[Layer, ...]:
        """The layers that end in probabilities: all, and a Softmax behind them where there is none."""
        if self.logit_layers is not self.layers:
            return self.layers
        softmax = Softmax()
        build(softmax, self.output_shape, None)
        return (*self.layers, softmax)

    def all_layers(self) -> list[Layer]:
        """The layers in order, each before the layers inside it."""
        return list(flatten(self.layers))

    def forward(self, x, train: bool = False, rng: Keys | None = None) -> tuple[np.ndarray, Any]:
        """y (N, *output_shape), and the caches for `backward`. rng: the keys of Dropout, needed with train=True."""
        return self.engine.forward(self.as_batch(x, self.input_shape, "x"), train, rng)

    def backward(self, dy, caches) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
        """dx (N, *input_shape), and grads: grads[i]["w"] belongs to layers[i].params["w"]."""
        return self.engine.backward(self.as_batch(dy, self.output_shape, "dy"), caches)

    def predict(self, x) -> np.ndarray:
        """Probabilities (N, classes) for prepared images x (N, *input_shape). Softmax is applied exactly once."""
        if len(self.output_shape) != 1:
            raise ValueError(f"predict needs a net that ends in (N,classes), not in {batch_text(self.output_shape)}")
        x, layers = self.as_batch(x, self.input_shape, "x"), self.probability_layers
        if len(x) <= PREDICT_BATCH:
            return self.engine.infer(x, layers)
        return np.concatenate([self.engine.infer(x[i:i + PREDICT_BATCH], layers) for i in range(0, len(x), PREDICT_BATCH)])

    def classify(self, pictures) -> list[Answer]:
        """Label raw pictures, paths or arrays, by the preprocessing of the training data."""
        if self.preprocessing is None or self.classes is None:
            raise ValueError("this net has no preprocessing and no classes yet: fit sets them, and saving keeps them")
        from .data import prepare
        alone = isinstance(pictures, str | os.PathLike)
        probabilities = self.predict(prepare([pictures] if alone else pictures, self.preprocessing))
        best = probabilities.argmax(axis=1)
        return [Answer(self.classes[k], float(p[k]), p) for k, p in zip(best, probabilities, strict=True)]

    def summary(self) -> str:
        """Shapes, parameters, multiply-adds and memory of backprop, as a table."""
        return summary.table(self)

    def profile(self, x, labels=None) -> Profile:
        """What each layer costs in training on the batch x, forward and backward, beside the roof of this machine.

        labels: (N,) class numbers, made up where there are none. Print the answer for a table.
        """
        from .profile import profile
        return profile(self, x, labels)

    def tensors(self) -> dict[str, np.ndarray]:
        """All params, then all state, in layer order, names sorted: "params/conv2d_1/w" -> the array itself."""
        return {f"{kind}/{layer.name}/{name}": array for kind in ("params", "state") for layer in self._leaves()
                for name, array in sorted(getattr(layer, kind).items())}

    def load_tensors(self, tensors: dict[str, np.ndarray]) -> None:
        """Take copies of arrays with the names and shapes of `tensors()`. Raises ValueError where they differ."""
        own = self.tensors()
        if tensors.keys() != own.keys():
            missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
            raise ValueError(f"not the net's tensors: missing {missing or 'none'}, unknown {unknown or 'none'}")
        for name, array in tensors.items():
            if array.shape != own[name].shape:
                raise ValueError(f"{name} has shape {shape_text(array.shape)}, the net needs "
                                 f"{shape_text(own[name].shape)}")
        for layer in self._leaves():
            for kind in ("params", "state"):
                for name in getattr(layer, kind):
                    array = tensors[f"{kind}/{layer.name}/{name}"]
                    getattr(layer, kind)[name] = np.array(array, self.dtype, order="C")

    def weights_sha256(self) -> str:
        """SHA-256 over params, then state, in layer order, names sorted, as little-endian bytes."""
        digest = hashlib.sha256()
        for array in self.tensors().values():
            digest.update(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())
        return digest.hexdigest()

    def save(self, path) -> None:
        """Write a model file (.safetensors): weights, layers, classes, preprocessing. `minicnn.open` reads it."""
        from . import model_file
        model_file.save(self, path)

    def __repr__(self):
        return (f"Sequential({len(self.layers)} layers, {batch_text(self.input_shape)} -> "
                f"{batch_text(self.output_shape)}, {summary.parameter_count(self.layers):,} parameters)")

    def _leaves(self) -> list[Layer]:
        return [layer for layer in self.all_layers() if not layer.children]

    def as_batch(self, values, shape: tuple[int, ...], name: str) -> np.ndarray:
        """Real numbers as a C-contiguous batch of the net's dtype."""
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, and a net knows no missing values; fill them: {name}.filled(0)")
        values = np.asarray(values)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
        if values.shape[1:] != shape or values.ndim == 0:
            one = f"; a single one is a batch of 1: {name}[None]" if values.shape == shape else ""
            raise ValueError(f"{name} has shape {shape_text(values.shape)}, the net needs {batch_text(shape)}{one}")
        return np.ascontiguousarray(values, self.dtype)


def _checked_layers(layers) -> tuple[Layer, ...]:
    layers = tuple(layers)
    if not layers:
        raise ValueError("a net needs at least one layer")
    seen: dict[int, int] = {}
    for number, layer in enumerate(layers, 1):
        if not isinstance(layer, Layer):
            called = f"; write {layer.__name__}(...)" if isinstance(layer, type) and issubclass(layer, Layer) else ""
            raise TypeError(f"layer {number} is {layer!r}, not a Layer{called}")
        for part in flatten([layer]):
            if part.taken:
                raise ValueError(f"layer {number} {layer!r} already belongs to a net; make a new layer")
            if id(part) in seen:
                raise ValueError(f"{part!r} of layer {number} already stands in layer {seen[id(part)]}; make two")
            seen[id(part)] = number
    return layers
