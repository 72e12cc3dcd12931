"""minicnn.random: the order of an epoch, the keys of a batch and the generator of initial values."""
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minicnn.kernels.dropout_reference import philox4x32
from minicnn.random import SHUFFLE, Keys, generator, permutation


def test_keys_shard_their_samples():
    keys = Keys(seed=3, epoch=2, samples=np.array([9, 8, 7, 6]))
    shard = keys.shard(1, 3)
    assert (shard.seed, shard.epoch) == (3, 2)
    assert_array_equal(shard.samples, [8, 7])
    with pytest.raises(dataclasses.FrozenInstanceError):
        keys.epoch = 4


@pytest.mark.parametrize("n", [0, 1, 2, 1797])
def test_permutation_holds_each_image_once(n):
    assert_array_equal(np.sort(permutation(0, 0, n)), np.arange(n))


def test_permutation_sorts_by_the_words_of_its_own_stream():
    seed, epoch, n = (5 << 32) + 6, 7, 50
    words = [philox4x32((0, sample, epoch, SHUFFLE), (6, 5)) for sample in range(n)]
    expected = sorted(range(n), key=lambda sample: (int(words[sample][1]) << 32) + int(words[sample][0]))
    assert_array_equal(permutation(seed, epoch, n), expected)


def test_permutation_never_changes_between_versions():
    assert permutation(0, 0, 12).tolist() == [5, 7, 9, 10, 6, 11, 3, 2, 8, 1, 0, 4]


def test_permutation_depends_on_seed_and_epoch():
    orders = {tuple(permutation(seed, epoch, 20)) for seed in (0, 1, 2**32) for epoch in (0, 1)}
    assert len(orders) == 6


def test_permutation_is_uniform():
    # 6,000 orders of 3 images: each of the 6 should come 1,000 times; the standard deviation is 29, allowed are five
    orders = [tuple(permutation(seed, epoch, 3)) for seed in range(60) for epoch in range(100)]
    counts = [orders.count(order) for order in sorted(set(orders))]
    assert len(counts) == 6
    assert all(abs(count - 1000) < 145 for count in counts)


def test_generator_depends_on_seed_and_stream():
    def first(seed, stream):
        return generator(seed, stream).standard_normal()

    assert first(1, 2) == first(1, 2)
    assert len({first(seed, stream) for seed in (0, 1, 2**63 - 1) for stream in (0, 1, 2**32 - 1)}) == 9


def test_import_loads_no_column():
    code = "import sys, minicnn.random; assert not [m for m in sys.modules if m.endswith('_reference') or m == 'numba']"
    subprocess.run([sys.executable, "-c", code], check=True)
