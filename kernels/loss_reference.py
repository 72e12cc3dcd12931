"""Losses, one number per image, and their gradients.

Softmax cross-entropy of logits x (N,K) with labels (N,) and class weights (K,), t = labels[n], e = label_smoothing
(Szegedy et al., Rethinking the Inception architecture, 2016, section 7; PyTorch's formula before the mean):

    log_p[n,k] = x[n,k] - log of the sum over j of exp(x[n,j])
    loss[n]    = -(1 - e) weights[t] log_p[n,t]  -  (e / K) sum over k of weights[k] log_p[n,k]
               = -sum over k of q[n,k] log_p[n,k],    q[n,k] = (1 - e) weights[t] [k = t] + (e / K) weights[k]
    dx[n,k]    = scale (exp(log_p[n,k]) sum over j of q[n,j]  -  q[n,k])

Mean squared error of x (N,K) and target (N,K):

    loss[n] = sum over k of (x[n,k] - target[n,k])^2 / K           dx[n,k] = scale 2 (x[n,k] - target[n,k]) / K

The mean over the images is the caller's: scale = 1 / (sum of weights[labels]), or 1 / N.
"""
import numpy as np

from .table import reference_kernel


@reference_kernel
def softmax_cross_entropy_forward(x, labels, weights, loss, label_smoothing):
    """x (N,K), labels (N,) int64, weights (K,) -> loss (N,)."""
    log_p = _log_softmax(x)
    loss[...] = -(1 - label_smoothing) * weights[labels] * log_p[np.arange(len(x)), labels]
    if label_smoothing:                                 # else a log_p of -inf elsewhere would make 0 * inf = NaN
        loss -= label_smoothing / x.shape[1] * (weights * log_p).sum(axis=1)


@reference_kernel
def softmax_cross_entropy_backward(x, labels, weights, dx, label_smoothing, scale):
    """x (N,K), labels (N,) int64, weights (K,) -> dx (N,K)."""
    q = np.zeros_like(x)
    q[np.arange(len(x)), labels] = (1 - label_smoothing) * weights[labels]
    q += label_smoothing / x.shape[1] * weights
    dx[...] = scale * (np.exp(_log_softmax(x)) * q.sum(axis=1, keepdims=True) - q)


@reference_kernel
def mean_squared_error_forward(x, target, loss):
    """x (N,K), target (N,K) -> loss (N,)."""
    loss[...] = ((x - target) ** 2).sum(axis=1) / x.shape[1]


@reference_kernel
def mean_squared_error_backward(x, target, dx, scale):
    """x (N,K), target (N,K) -> dx (N,K)."""
    dx[...] = scale * 2 * (x - target) / x.shape[1]


def _log_softmax(x):
    """x (N,K) -> log of softmax (N,K); shifted by the row's maximum, so that exp cannot overflow."""
    shifted = x - x.real.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
