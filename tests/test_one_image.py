"""One image in evaluation mode, its kernel calls shared by threads: the same bits, no thread left waiting."""
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernel_cases import build, few_shapes

import minicnn as mc
from minicnn import engine, kernels
from minicnn.kernels import bands, tape

pytestmark = pytest.mark.skipif(not tape.available, reason="no tapes on this machine: one image has one thread")

LAYERS = {
    "windows": lambda: [mc.Conv2D(10, 3), mc.ReLU(), mc.Conv2D(12, 5, stride=2, padding="same"), mc.Sigmoid(), mc.AvgPool2D(2),
                        mc.Conv2D(7, 3), mc.ReLU(), mc.MaxPool2D(2), mc.Flatten(), mc.Dense(5)],
    "winograd": lambda: [mc.Conv2D(48, 3, padding="same"), mc.BatchNorm(), mc.ReLU(), mc.Conv2D(80, 3, padding="same"),
                         mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(3, stride=2, padding="same"), mc.GlobalAvgPool2D(), mc.Dense(5)],
}


@pytest.fixture(autouse=True)
def any_work_is_worth_sharing(monkeypatch):
    monkeypatch.setattr(engine, "PART_WORK", 1)


def net(kind, threads, size=29):
    return mc.Sequential(LAYERS[kind](), (size, size - 4, 3), threads=threads, seed=3)


def image(n=1, size=29):
    return np.random.default_rng(n).standard_normal((n, size, size - 4, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("exact", [False, True])
def test_the_bits_do_not_depend_on_the_threads(kind, exact):
    with kernels.use(exact=exact):
        alone = net(kind, 1).predict(image())
        for threads in (2, 3, 4):
            shared = net(kind, threads)
            for _ in range(3):                          # recorded, then played
                assert np.array_equal(shared.predict(image()), alone)
            assert len(shared.engine.seen_threads) >= 2


@pytest.mark.parametrize("n", [2, 3, 9])
def test_a_few_images_are_a_shard_each(n):
    x = image(n)
    alone = np.concatenate([net("windows", 1).predict(x[i:i + 1]) for i in range(n)])
    shared = net("windows", 3)
    assert np.array_equal(shared.predict(x), alone) and len(shared.engine.seen_threads) >= 2


def test_small_work_stays_on_one_thread(monkeypatch):
    monkeypatch.undo()
    small = mc.Sequential([mc.Conv2D(4, 3), mc.Flatten(), mc.Dense(3)], (12, 12, 1), threads=4)
    small.predict(image()[:, :12, :12, :1].copy())
    assert small.engine.seen_threads == {threading.get_ident()}


def test_threads_linger_and_come_back_after_they_went_home():
    shared, alone = net("windows", 3), net("windows", 1).predict(image())
    for pause in (0, 0.02, 0, 0, 0.05, 0.0005, 0.001, 0.0002) * 5:
        assert np.array_equal(shared.predict(image()), alone)
        time.sleep(pause)


def test_many_callers_of_a_net_wait_for_each_other_and_not_forever():
    shared = net("windows", 3)
    wanted = [net("windows", 1).predict(image() + i) for i in range(4)]
    shared.predict(image())
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(lambda i=i: [shared.predict(image() + i) for _ in range(40)]) for i in range(4)]
        for answer, y in zip(answers, wanted, strict=True):
            assert all(np.array_equal(got, y) for got in answer.result(timeout=120))


def test_an_interruption_leaves_nobody_waiting(monkeypatch):
    """An exception between sending the other threads and doing one's own part."""
    shared, submit = net("windows", 2), engine.Engine._submit
    y = shared.predict(image())
    time.sleep(0.05)                                    # they have gone home: others must be sent
    futures = []

    def interrupted(self, work, numbers):
        futures.extend(submit(self, work, numbers))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine.Engine, "_submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shared.predict(image())
    assert [future.result(timeout=60) for future in futures] == [0]
    assert np.array_equal(shared.predict(image()), y)


@pytest.mark.parametrize("name", [name for name in kernels.SPECS if name.endswith("_forward")])
def test_bands_write_what_the_whole_call_writes(name):
    """Every forward kernel on one image: three bands in place of one call."""
    kernel, cut = kernels.function("cpu", name).direct, 0
    for shape in few_shapes(name):
        args = build(name, shape | {"N": 1})
        whole, banded = [[a.copy() if isinstance(a, np.ndarray) else a for a in args] for _ in range(2)]
        kernel(*whole)
        parts = bands.split(kernel, tuple(banded), 3)
        cut += parts[1] is not None
        for part in parts:
            if part is not None:
                kernel(*part)
        for a, b in zip(whole, banded, strict=True):
            assert np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray) and a.dtype == np.float32), (name, shape)
    assert cut > 0 or not kernel.spec.windows


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_has_no_lingering_threads():
    """In a process of its own: forking one that has threads is a warning, and what is meant here."""
    code = """
import os, warnings
import numpy as np
import minicnn as mc
from minicnn import engine
engine.PART_WORK = 1
warnings.simplefilter("ignore")
net = mc.Sequential([mc.Conv2D(8, 3), mc.ReLU(), mc.Flatten(), mc.Dense(3)], (24, 24, 1), threads=2)
x = np.ones((1, 24, 24, 1), np.float32)
y = net.predict(x)
for _ in range(20):
    net.predict(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(net.predict(x), y) else 1)
    assert os.waitpid(child, 0)[1] == 0
print("done", len(net.engine.seen_threads))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout == "done 2\n", done.stderr
