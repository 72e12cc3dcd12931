"""What holds for the columns as wholes: alike from outside, each on its own, repeatable, an image by itself; and `use`."""
import importlib
import inspect
import threading

import numpy as np
import pytest
from kernel_cases import build, few_shapes, run

from minicnn import kernels

COLUMNS = list(kernels.COLUMNS)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", kernels.KERNELS)
def test_every_cell_is_filled_and_has_the_signature_of_the_table(column, name):
    function = kernels.function(column, name)
    assert tuple(inspect.signature(function).parameters) == kernels.SPECS[name].parameters
    assert function.__name__ == name and function.__doc__
    assert function.__module__.startswith("minicnn.kernels.") and function.__module__.endswith(f"_{column}")


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_no_cpu_kernel_calls_the_reference(name, monkeypatch):
    args = build(name, few_shapes(name)[1], integers=False)
    expected = run("cpu", name, args)

    def refuse(*args, **named):
        raise AssertionError("the reference was called")

    for module in set(kernels.COLUMNS["reference"].values()):
        reference = importlib.import_module(f"minicnn.kernels.{module}")
        for function, value in vars(reference).items():
            if callable(value) and getattr(value, "__module__", "").startswith("minicnn"):
                monkeypatch.setattr(reference, function, refuse)
    monkeypatch.setattr(kernels.dispatch, "function", lambda column, name: refuse())
    with pytest.raises(AssertionError, match="the reference was called"):
        importlib.import_module(f"minicnn.kernels.{kernels.COLUMNS['reference'][name]}").__dict__[name]()
    assert all(np.array_equal(v, expected[k]) for k, v in run("cpu", name, args).items())


def poisoned(name, args, byte):
    """args with every byte of the outputs set."""
    for array, value in zip(kernels.SPECS[name].arrays, args, strict=False):
        if array.output and not array.updated:
            value.view(np.uint8)[...] = byte
    return args


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_the_same_call_gives_the_same_bits_whatever_lay_in_the_outputs(name):
    for shape in few_shapes(name):
        results = [run("cpu", name, poisoned(name, build(name, shape, integers=False), byte)) for byte in (0, 0, 0xCB, 0xFF)]
        for result in results[1:]:
            assert all(v.tobytes() == results[0][k].tobytes() for k, v in result.items())


PER_IMAGE = [name for name, spec in kernels.SPECS.items()
             if all(a.axes[0] in "N*" for a in spec.outputs) and not any(a.updated for a in spec.arrays)]


@pytest.mark.parametrize("name", PER_IMAGE)
def test_what_an_image_gives_does_not_depend_on_its_batch(name):
    """Images of a batch of 37 alone, in threes, and in the whole batch: the same bits."""
    spec = kernels.SPECS[name]
    for shape in few_shapes(name):
        args = build(name, shape | {"N": 37}, integers=False)
        whole = run("cpu", name, args)
        for first, count in [(0, 1), (17, 1), (36, 1), (0, 3), (15, 3), (20, 17)]:
            part = [v[first:first + count].copy() if i < len(spec.arrays) and spec.arrays[i].axes[0] in "N*" else v
                    for i, v in enumerate(args)]
            for output, value in run("cpu", name, part).items():
                expected = whole[output][first:first + count]
                assert value.tobytes() == expected.tobytes(), f"{name} {shape}: image {first} of {count}"


def test_which_kernels_work_image_by_image():
    """All but those that add up over images, and the updates, which know no images."""
    others = set(kernels.KERNELS) - set(PER_IMAGE)
    assert others == {"conv2d_backward_weight", "convpool2d_backward_weight", "dense_backward_weight", "accumulate",
                      "batchnorm_statistics", "batchnorm_backward_sums", "batchnorm_relu_backward_sums", "sgd_update",
                      "nesterov_update", "adam_update", "adamw_update"}


F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
CPU, REFERENCE = (kernels.function(column, "relu_forward") for column in ("cpu", "reference"))


def other(*args):
    """A kernel of the caller's own."""


def active(dtype=F32):
    return kernels.get("relu_forward", dtype)


def test_the_type_chooses_the_column():
    assert active() is CPU and active(np.float32) is CPU
    assert all(kernels.get("relu_forward", t) is REFERENCE for t in (F64, np.float16, np.complex128, np.longdouble))


def test_use_nests_and_ends():
    with kernels.use(column="reference"):
        assert active() is REFERENCE and active(F64) is REFERENCE
        with kernels.use(relu_forward=other):
            assert active() is other and active(F64) is other
            assert kernels.get("relu_backward", F32) is kernels.function("reference", "relu_backward")
            with kernels.use(column="cpu"):
                assert active() is CPU and active(F64) is CPU          # the inner block wins
                with kernels.use(column="cpu", relu_forward=other):
                    assert active() is other
            assert active() is other
        assert active() is REFERENCE
    assert active() is CPU
    with pytest.raises(KeyError), kernels.use(relu_forward=other):
        raise KeyError
    assert active() is CPU


def test_use_counts_in_its_own_thread_only():
    seen, inside, done = {}, threading.Event(), threading.Event()

    def elsewhere():
        with kernels.use(relu_forward=other):
            inside.set()
            done.wait(10)
            seen["there"] = active()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert inside.wait(10)
    seen["here"] = active()
    done.set()
    thread.join()
    assert seen == {"here": CPU, "there": other}


@pytest.mark.parametrize("arguments, error, message", [
    ({"column": "gpu"}, ValueError, "no column 'gpu'; known: reference, cpu"),
    ({"relu": other}, ValueError, "no kernel 'relu'; known: conv2d_forward, "),
    ({"relu_forward": 3}, TypeError, "relu_forward must be a function, got int"),
])
def test_use_of_what_is_not_there(arguments, error, message):
    with pytest.raises(error, match=message), kernels.use(**arguments):
        pass
    assert active() is CPU


def test_functions_of_what_is_not_there():
    with pytest.raises(ValueError, match="no column 'gpu'"):
        kernels.function("gpu", "relu_forward")
    with pytest.raises(ValueError, match="no kernel 'relu'"):
        kernels.function("cpu", "relu")


def test_first_calls_from_many_threads_at_once(monkeypatch):
    """Eight threads call a kernel that has not compiled yet: it compiles once, and all results are right."""
    fresh = kernels.jit.Kernel(CPU.body)
    x, results, start = np.linspace(-1, 1, 101, dtype=np.float32), [None] * 8, threading.Barrier(8)

    def call(i):
        y = np.full_like(x, np.nan)
        start.wait(10)
        fresh(x, y)
        results[i] = y

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(np.array_equal(y, np.maximum(x, 0)) for y in results)
    assert len(fresh.dispatcher.overloads) == 1
