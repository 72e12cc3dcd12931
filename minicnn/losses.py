"""Losses: one number per image that training makes small. With p = softmax(x) and w the class weights:

    SoftmaxCrossEntropy   loss[n] = -(1-a) w[l] log p[n,l] - (a/K) sum over k of w[k] log p[n,k]        l = labels[n]
    MeanSquaredError      loss[n] = (1/K) sum over k of (x[n,k] - target[n,k])^2

The loss of a batch is sum(loss) / denominator: the sum of w[labels] for the first, N for the second. `a` is the label
smoothing. x (N,K): the net's output, for SoftmaxCrossEntropy its logits. PyTorch's formulas for reduction="mean".
Sources: Goodfellow et al. 2016, section 6.2.2; Szegedy et al. 2016, "Rethinking the Inception architecture", section 7.
"""
from __future__ import annotations

import numpy as np

from . import kernels, memory
from .arguments import real


class SoftmaxCrossEntropy:
    """label_smoothing in 0..1; class_weights: K numbers >= 0, or None for ones. Labels are integers 0..K-1, (N,)."""

    recordable = True           # does nothing but call kernels (recorded.py)

    def __init__(self, label_smoothing: float = 0.0, class_weights=None):
        self.label_smoothing = real(label_smoothing, "label_smoothing", high=1)
        self.class_weights = None if class_weights is None else tuple(real(w, "a class weight") for w in class_weights)

    def denominator(self, labels: np.ndarray, dtype) -> float:
        """What the sum of the batch's losses is divided by."""
        labels = class_labels(labels)
        if self.class_weights is None:
            return float(len(labels))
        total = float(np.asarray(self.class_weights, dtype)[labels].sum(dtype=np.float64))
        if total == 0 and len(labels):
            raise ValueError("all images of the batch have class weight 0: their mean loss is 0 / 0")
        return total

    def forward(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The loss of each image, (N,)."""
        loss = memory.empty((len(logits),), logits.dtype)
        kernels.get("softmax_cross_entropy_forward", logits.dtype)(
            logits, class_labels(labels), self._weights(logits), loss, self.label_smoothing)
        return loss

    def backward(self, logits: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
        """scale * d loss[n] / d logits[n], (N,K); scale = 1 / denominator for the loss of the batch."""
        dlogits = memory.empty(logits.shape, logits.dtype)
        kernels.get("softmax_cross_entropy_backward", logits.dtype)(
            logits, class_labels(labels), self._weights(logits), dlogits, self.label_smoothing, scale)
        return dlogits

    def _weights(self, logits):
        classes = logits.shape[-1]
        if self.class_weights is None:
            return np.ones(classes, logits.dtype)
        if len(self.class_weights) != classes:
            raise ValueError(f"{len(self.class_weights)} class weights for {classes} classes")
        return np.array(self.class_weights, logits.dtype)

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        weights = None if self.class_weights is None else list(self.class_weights)
        return {"loss": "SoftmaxCrossEntropy", "label_smoothing": self.label_smoothing, "class_weights": weights}


class MeanSquaredError:
    """Labels are targets (N,K) of a float type, or integers (N,) that stand for one-hot targets."""

    def denominator(self, labels: np.ndarray, dtype) -> float:
        """The number of images: sum of the losses / N is the loss of the batch."""
        return float(len(labels))

    def forward(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The loss of each image, (N,)."""
        loss = np.empty(len(logits), logits.dtype)
        kernels.get("mean_squared_error_forward", logits.dtype)(logits, _target(labels, logits), loss)
        return loss

    def backward(self, logits: np.ndarray, labels: np.ndarray, scale: float) -> np.ndarray:
        """scale * d loss[n] / d logits[n], (N,K); scale = 1 / denominator for the loss of the batch."""
        dlogits = np.empty_like(logits)
        kernels.get("mean_squared_error_backward", logits.dtype)(logits, _target(labels, logits), dlogits, scale)
        return dlogits

    def config(self) -> dict:
        """Name and arguments, as plain data."""
        return {"loss": "MeanSquaredError"}


def class_labels(labels) -> np.ndarray:
    """Class numbers as (N,) int64. Raises TypeError for other than integers, ValueError for another number of axes."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"labels must have the shape (N,), got {labels.shape}")
    return labels.astype(np.int64, copy=False)


def _target(labels, logits):
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        return np.ascontiguousarray(labels, logits.dtype)
    labels, classes = class_labels(labels), logits.shape[-1]
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return np.eye(classes, dtype=logits.dtype)[labels]
