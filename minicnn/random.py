"""Random numbers without hidden state: every draw is a function of (seed, stream, epoch, sample).

Nothing has to be saved to resume a run, and neither the number of threads nor the cut into batches changes a draw. The
generator is Philox4x32-10 (Salmon et al. 2011), the same as in the dropout kernels:

    key (seed mod 2^32, seed div 2^32), counter (block, sample, epoch, stream)

| stream              | used for                                                    |
|---------------------|-------------------------------------------------------------|
| 0 .. 65535          | dropout layers: the index of the layer in the flattened net |
| SHUFFLE = 2^20      | the order of the training images of an epoch                |
| any, in `generator` | initial values; NumPy's own Philox4x64, keyed (seed, stream) |
"""
from dataclasses import dataclass

import numpy as np

SHUFFLE = 2**20


@dataclass(frozen=True)
class Keys:
    """What the draws for a batch depend on.

    seed: of the run.  epoch: counted from 0.  samples: (N,) int64, the index of each image in its data set.
    """

    seed: int
    epoch: int
    samples: np.ndarray

    def shard(self, lo: int, hi: int) -> "Keys":
        """The keys of images lo .. hi - 1 of the batch."""
        return Keys(self.seed, self.epoch, self.samples[lo:hi])


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of n training images in an epoch: (n,) int64, each of 0 .. n - 1 once.

    Each image gets a 64-bit word of its own; the images are sorted by it, equal words by index.
    """
    from minicnn.kernels.dropout_reference import philox4x32  # here, since importing minicnn loads no kernel column

    low, high, _, _ = philox4x32((0, np.arange(n), epoch, SHUFFLE), (seed & 0xFFFFFFFF, seed >> 32))
    return np.argsort(high << np.uint64(32) | low, kind="stable")


def generator(seed: int, stream: int) -> np.random.Generator:
    """A NumPy generator for initial values: the same numbers for the same (seed, stream) and version of NumPy."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))
