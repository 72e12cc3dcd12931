"""First values of the weights: random numbers whose variance keeps signals and gradients at one scale through the net.

    He      w ~ N(0, 2 / fan_in)                       before a ReLU       (He et al. 2015, "Delving deep", section 2.2)
    Glorot  w ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out))                 (Glorot and Bengio 2010, equation 16)

fan_in: inputs that one output sums over; fan_out: outputs that one input reaches. `rng` is a NumPy Generator; a net
makes one for each layer from its seed. Values are float32, so a float64 net with the same seed has exactly the same
weights. With `rng=None` every function here gives a read-only array of zeros that takes no memory: the right shape, for
a net whose weights come from a file.
"""
import math

import numpy as np


def he_normal(shape: tuple[int, ...], fan_in: int, rng) -> np.ndarray:
    """Normal values with standard deviation sqrt(2 / fan_in)."""
    if rng is None:
        return _placeholder(shape)
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)


def glorot_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng) -> np.ndarray:
    """Uniform values in [-a, a) with a = sqrt(6 / (fan_in + fan_out))."""
    if rng is None:
        return _placeholder(shape)
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def constant(value: float, shape: tuple[int, ...], rng) -> np.ndarray:
    """The same value everywhere; `rng` only tells whether memory is wanted."""
    return _placeholder(shape) if rng is None else np.full(shape, value, np.float32)


def _placeholder(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.float32(0), shape)
