"""The engine: who computes what never changes a bit, errors come out whole, and threads and forks do no harm."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minicnn as mc
from minicnn.engine import FEWEST_IMAGES, Engine
from minicnn.random import Keys

SHAPE, CLASSES = (8, 8, 3), 5


class Jitter(mc.Layer):
    """Passes its input on, some milliseconds later: shards end in an order that changes from run to run."""

    per_image = True

    def forward(self, x, train=False, rng=None):
        time.sleep(random.random() / 200)
        return x, None

    def backward(self, dy, cache):
        time.sleep(random.random() / 200)
        return dy, {}


def make_net(*more, **options):
    """Batch norm, dropout, a residual block with both inside: nothing that a net has is missing."""
    return mc.Sequential([
        mc.Conv2D(16, 3, padding="same", bias=False), mc.BatchNorm(), mc.ReLU(), Jitter(),
        mc.Residual([mc.Conv2D(16, 3, padding=1), mc.BatchNorm(), mc.ReLU(), mc.Dropout(0.2), mc.Conv2D(16, 3, padding=1)]),
        *more, mc.ReLU(), mc.MaxPool2D(2), mc.Flatten(), mc.Dropout(0.3), Jitter(), mc.Dense(CLASSES)], SHAPE, **options)


def plain_net(**options):
    """No layer that needs the whole batch, nor random numbers."""
    return mc.Sequential([mc.Conv2D(16, 3), mc.ReLU(), mc.Conv2D(24, 3, padding="same"), mc.GELU(), mc.AvgPool2D(2),
                          mc.Flatten(), mc.Dense(CLASSES)], SHAPE, **options)


def images(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *SHAPE)).astype(np.float32), rng.integers(0, CLASSES, n)


def trained(threads, seed=0):
    """The hash of the weights after three epochs in batches of 458 and 12; asserts that the threads were used."""
    net, (x, labels) = make_net(seed=seed), images(470)
    trainer = mc.Trainer(net, mc.SGD(0.05, momentum=0.9, nesterov=True), threads=threads, seed=seed)
    assert len(trainer.engine.shards(458)) == 8 and 458 % 8
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(470)
        for batch in (order[:458], order[458:]):
            trainer.step(x[batch], labels[batch], samples=batch, epoch=epoch)
    assert len(trainer.engine.seen_threads) >= min(threads, 2)
    return net.weights_sha256()


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    hashes = {threads: trained(threads) for threads in (1, 2, 3, 7)}
    assert len(set(hashes.values())) == 1, hashes
    assert trained(2) == hashes[2] != trained(2, seed=1)


def test_forward_and_backward_have_the_same_bits_too():
    x, _ = images(150)
    found = set()
    for threads in (1, 2, 5):
        net = make_net(threads=threads)
        y, caches = net.forward(x, train=True, rng=Keys(3, 0, np.arange(150)))
        dx, grads = net.backward(np.ones_like(y), caches)
        found.add(b"".join(a.tobytes() for a in (y, dx, net.predict(x), *(g for part in grads for g in part.values()))))
        assert len(net.engine.seen_threads) >= min(threads, 2)
    assert len(found) == 1


def test_a_small_net_wakes_no_other_thread():
    net = mc.Sequential([mc.Dense(4)], (6,), threads=3)
    net.predict(np.zeros((200, 6), np.float32))
    assert net.engine.seen_threads == {threading.get_ident()}


def test_shards_are_the_batch_in_order():
    engine = Engine(plain_net().layers, SHAPE, 2)
    for size, n in itertools.product((8, 64), (0, 1, 5, 31, 32, 33, 64, 77, 130, 300, 401)):
        engine.shard_images = size
        cuts = engine.shards(n)
        sizes = [cut.stop - cut.start for cut in cuts]
        assert max(sizes) - min(sizes) <= 1
        assert [i for cut in cuts for i in range(n)[cut]] == list(range(n))
        assert all(cut.stop - cut.start <= max(engine.shard_images, 2 * FEWEST_IMAGES) for cut in cuts)
        assert len(cuts) in (1, 2) or len(cuts) % 4 == 0
    assert len(engine.shards(77)) > 1


def test_a_layer_that_needs_the_whole_batch_gets_it_once():
    calls = []

    class Whole(mc.Layer):
        def forward(self, x, train=False, rng=None):
            calls.append(("forward", x.shape))
            return x - x.mean(axis=0), None

        def backward(self, dy, cache):
            calls.append(("backward", dy.shape))
            return dy - dy.mean(axis=0), {}

    trainer = mc.Trainer(make_net(Whole()), threads=3)
    x, labels = images(100)
    trainer.step(x, labels)
    assert calls == [("forward", (100, 8, 8, 16)), ("backward", (100, 8, 8, 16))]
    calls.clear()
    trainer.net.predict(x)
    assert calls == [("forward", (100, 8, 8, 16))]


def test_the_order_of_the_images_does_not_matter():
    x, labels = images(90)
    order, loss = np.random.default_rng(1).permutation(90), mc.SoftmaxCrossEntropy(0.1, (1, 2, 0.5, 1, 3))
    net = make_net(threads=2)
    losses, grads = net.engine.step(x, labels, loss, Keys(0, 4, np.arange(90)))
    permuted_losses, permuted = net.engine.step(x[order], labels[order], loss, Keys(0, 4, order))
    np.testing.assert_allclose(permuted_losses, losses[order], rtol=1e-4, atol=1e-6)
    assert not np.array_equal(order, np.arange(90)) and any(grads)
    for name, a, b in ((name, one[name], two[name]) for one, two in zip(grads, permuted, strict=True) for name in one):
        assert np.abs(a - b).max() <= 1e-4 * max(np.abs(a).max(), 1e-2), name


class Fragile(mc.Layer):
    """Raises for a batch that holds the number 666."""

    per_image = True

    def forward(self, x, train=False, rng=None):
        if (x == 666).any():
            raise ArithmeticError(f"666 in a shard of {len(x)} images")
        return x, None

    def backward(self, dy, cache):
        return dy, {}


@pytest.mark.parametrize("place", [0, 40, 99])
def test_an_error_in_a_shard_reaches_the_caller_and_the_engine_goes_on(place):
    net = mc.Sequential([Fragile(), mc.Conv2D(32, 3), mc.ReLU(), mc.Flatten(), mc.Dense(CLASSES)], SHAPE, threads=3)
    trainer, (x, labels) = mc.Trainer(net), images(140)      # enough work for a second thread
    expected = net.predict(x)
    bad = x.copy()
    bad[place, 0, 0, 0] = 666
    before = net.weights_sha256()
    with pytest.raises(ArithmeticError, match="666 in a shard"):
        net.predict(bad)
    with pytest.raises(ArithmeticError, match="666 in a shard"):
        trainer.step(bad, labels)
    assert net.weights_sha256() == before and trainer.step_count == 0
    assert np.array_equal(net.predict(x), expected)
    assert np.isfinite(trainer.step(x, labels)) and net.weights_sha256() != before
    assert len(net.engine.seen_threads) >= 2


def test_two_threads_predict_at_once():
    net = plain_net(threads=2)
    batches = [images(n, seed)[0] for seed, n in enumerate((70, 110))]
    expected = [net.predict(x) for x in batches]
    start, wrong, done = threading.Barrier(4), [], []

    def many(x, y):
        start.wait()
        wrong.extend(i for i in range(10) if not np.array_equal(net.predict(x), y))
        done.append(1)

    threads = [threading.Thread(target=many, args=pair) for pair in zip(batches, expected, strict=True) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 4 and not wrong


FORK = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_engine import images, plain_net
net, (x, _) = plain_net(threads=2), images(100)
expected = net.predict(x).tobytes()
assert len(net.engine.seen_threads) == 2
child = os.fork()
if child == 0:
    signal.alarm(60)            # a child that waits for threads that no fork takes along must not stay
    os._exit(0 if net.predict(x).tobytes() == expected else 9)
assert net.predict(x).tobytes() == expected
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_predicts():
    command = [sys.executable, "-c", FORK, os.path.dirname(__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make, shape", [
    (lambda: mc.nets.lenet((16, 16, 1), 10), (16, 16, 1)), (lambda: mc.nets.resnet8(SHAPE, 7), SHAPE),
    (lambda: mc.nets.vgg((9, 10, 2), 3), (9, 10, 2)), (lambda: [mc.Flatten(), mc.Dense(33), mc.Tanh(), mc.Dense(4)], SHAPE)])
def test_an_answer_does_not_depend_on_the_batch(make, shape):
    net = mc.Sequential(make(), shape, threads=2)
    x = np.random.default_rng(2).standard_normal((45, *shape)).astype(np.float32)
    together = net.predict(x)
    for lo, hi in itertools.chain([(0, 45)], ((i, i + 1) for i in (0, 17, 44)), [(3, 5), (1, 8), (20, 37), (5, 45)]):
        assert np.array_equal(net.predict(x[lo:hi]), together[lo:hi]), (lo, hi)


def test_labels_and_samples_may_be_views():
    """Every second of twice as many: what is recorded knows plain arrays only."""
    found = set()
    for see in (np.array, lambda a: np.repeat(a, 2)[::2]):
        net = mc.Sequential([mc.Flatten(), mc.Dense(7), mc.ReLU(), mc.Dropout(0.5), mc.Dense(5)], (3, 3, 1))
        trainer, rng = mc.Trainer(net, mc.SGD(0.1), threads=1), np.random.default_rng(0)
        for _ in range(3):
            x, labels, samples = rng.standard_normal((24, 3, 3, 1)), rng.integers(0, 5, 24), rng.integers(0, 1000, 24)
            trainer.step(x, see(labels), samples=see(samples), epoch=1)
        found.add(net.weights_sha256())
    assert len(found) == 1
