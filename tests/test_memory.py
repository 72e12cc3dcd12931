"""The pools of buffers: one in use is never handed out, one that nobody refers to is used again."""

import sys
import threading

import numpy as np
import pytest

from minicnn import memory
from minicnn.memory import SMALL, Pool

SHAPE = (40, 50)                # of float32: above SMALL


def address(array):
    return array.__array_interface__["data"][0]


def overlapping(arrays):
    """Whether any two arrays share a byte."""
    spans = sorted((address(a), address(a) + a.nbytes) for a in arrays)
    return any(end > start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


def test_arrays_in_use_do_not_overlap():
    pool = Pool()
    arrays = [pool.empty(SHAPE, np.float32) for _ in range(20)] + [pool.empty((SMALL + i,), np.uint8) for i in range(9)]
    assert not overlapping(arrays)
    assert all(a.shape == SHAPE and a.dtype == np.float32 and a.flags.c_contiguous and a.flags.writeable for a in arrays[:20])
    assert all(address(a) % 64 == 0 for a in arrays)
    assert overlapping([arrays[0], arrays[0][3:4]])             # the test's own ruler


def test_a_dropped_array_is_used_again():
    pool = Pool()
    first, second = pool.empty(SHAPE, np.float32), pool.empty(SHAPE, np.float32)
    place = address(first)
    del first
    third = pool.empty(SHAPE, np.float32)
    assert address(third) == place and not overlapping([second, third])


def test_a_long_run_takes_no_more_memory():
    pool = Pool()
    for _ in range(50):
        x, y = pool.empty(SHAPE, np.float32), pool.empty(SHAPE, np.float32)
        del x, y
    assert sum(map(len, pool.buffers.values())) == 2


@pytest.mark.parametrize("view", [
    lambda a: a[1:3, ::2], lambda a: a.reshape(-1), lambda a: a.T, lambda a: a.view(np.uint8), lambda a: a[5][7:],
    memoryview, lambda a: {"cache": (None, a.reshape(50, 40)[:1])}])
def test_a_view_keeps_the_buffer(view):
    pool = Pool()
    array = pool.empty(SHAPE, np.float32)
    place, kept = address(array), view(array)
    del array
    others = [pool.empty(SHAPE, np.float32) for _ in range(5)]
    assert place not in map(address, others)
    del kept
    assert address(pool.empty(SHAPE, np.float32)) == place


def test_only_the_number_of_bytes_counts():
    pool = Pool()
    array = pool.empty(SHAPE, np.float32)
    place = address(array)
    del array
    assert address(pool.empty((1000,), np.float64)) == place
    assert address(pool.empty((1001,), np.float64)) != place


def test_another_pools_free_buffer_is_taken_first():
    pools = []
    pools += (Pool(pools) for _ in range(3))
    array = pools[2].empty(SHAPE, np.float32)
    place = address(array)
    assert address(pools[0].empty(SHAPE, np.float32)) != place
    pools[0].buffers.clear()
    del array
    assert address(pools[0].empty(SHAPE, np.float32)) == place


def test_small_arrays_are_numpys():
    pool = Pool()
    assert pool.empty((SMALL - 1,), np.uint8).base is None and not pool.buffers
    assert pool.empty((0, 3), np.float32).shape == (0, 3) and pool.empty((), np.float64).shape == ()
    assert pool.empty((SMALL,), np.uint8).base is not None


def test_a_pool_is_used_within_its_block_and_on_its_thread_only():
    pool, inner, elsewhere = Pool(), Pool(), []
    with memory.using(pool):
        assert memory.empty(SHAPE, np.float32).base is not None
        with memory.using(inner):
            memory.empty(SHAPE, np.float32)
        thread = threading.Thread(target=lambda: elsewhere.append(memory.empty(SHAPE, np.float32)))
        thread.start()
        thread.join()
        with pytest.raises(KeyError), memory.using(inner):
            raise KeyError
        memory.empty((2000,), np.float64)
    assert memory.empty(SHAPE, np.float32).base is None and elsewhere[0].base is None
    assert (sum(map(len, pool.buffers.values())), sum(map(len, inner.buffers.values()))) == (2, 1)


@pytest.fixture
def restless():
    """Threads take turns as often as Python can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads_that_share_pools_never_get_the_same_buffer(restless):
    """Each thread writes its number into what it holds, and later looks whether it still stands there."""
    pools, wrong, finished = [], [], []
    pools += (Pool(pools) for _ in range(2))

    def work(number):
        rng, held = np.random.default_rng(number), []
        for count in range(2000):
            array = pools[number % 2].empty((SMALL,), np.uint8)
            array[:] = number + 4 * (count % 50)
            held.append((array, number + 4 * (count % 50)))
            if len(held) > 6:
                kept, value = held.pop(int(rng.integers(7)))
                if kept.min() != value or kept.max() != value:
                    wrong.append((number, count))
        finished.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(finished) == [0, 1, 2, 3] and not wrong
