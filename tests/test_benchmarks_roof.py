"""benchmarks/roof_share.py and what it stands on: the loops of the roof, the calls, that a wrong kernel gets no time."""

import json

import benchmark_modules
import numpy as np
import pytest

from minicnn import kernels

modules = pytest.fixture(benchmark_modules.imported)


def test_every_chain_of_the_loop_runs(modules, monkeypatch):
    """s = 1/2: each lane of each chain moves to 1, from a start that is not 1."""
    roof = modules("roof")
    monkeypatch.setattr(roof, "FMA_TURNS", 40)
    assert roof.fma_loop() == roof.CHAINS * 16


def test_every_copy_copies(modules):
    roof, source = modules("roof"), np.arange(64, dtype=np.float32)
    for copy in roof.COPIES.values():
        target = np.zeros_like(source)
        copy(target, source)
        assert (target == source).all()


@pytest.mark.parametrize("name, expected", [
    ("relu_backward", 3 * 400), ("sgd_update", 5 * 400), ("adam_update", 7 * 400), ("batchnorm_statistics", 400 + 300),
    ("maxpool2d_forward", 4 * 96 + 4 * 24 + 24)])
def test_bytes_are_counted_once_and_of_updated_arrays_twice(modules, name, expected):
    extents = {"N": 1, "H": 1, "W": 4, "C": 25} if name == "batchnorm_statistics" else {
        "N": 1, "H": 4, "W": 4, "C": 6, "P": 2, "Q": 2}
    windows = {"size_h": 2, "size_w": 2, "stride_h": 2, "stride_w": 2} if "pool" in name else {}
    assert modules("kernel_calls").Call(name, extents, like=(100,), **windows).bytes == expected


def test_every_kernel_that_is_measured_agrees_with_itself(modules, monkeypatch):
    """The reference against the reference, through small calls: arguments are in order for every one of them."""
    roof_share = modules("roof_share")
    monkeypatch.setattr(kernels, "function", lambda column, name, real=kernels.function: real("reference", name))
    calls = [roof_share.in_memory(name, 1) for name in roof_share.IN_MEMORY]
    calls += [roof_share.convolution((32, 32, 4, 3), direction, 2) for direction in roof_share.ROOF]
    assert [call.wrong() for call in calls] == [0] * len(calls)


def test_a_wrong_kernel_gets_no_time(modules, monkeypatch, capsys):
    def function(column, name, real=kernels.function):
        kernel = real("reference", name)

        def wrong(*args):
            kernel(*args)
            args[len(kernels.SPECS[name].arrays) - 1].flat[-1] += column == "cpu"
        return wrong
    roof_share = modules("roof_share")
    monkeypatch.setattr(kernels, "function", function)
    monkeypatch.setattr(roof_share, "CONVOLUTIONS", ((32, 32, 4, 3),))
    monkeypatch.setattr(roof_share, "FLOP_OF_A_CALL", 1)
    assert roof_share.main(["--kinds", "conv", "--rounds", "1", "--seconds", "1e-9", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "32-32@4, batch 1, forward, GFLOP/s: the kernel and the reference differ by" in err


def test_shares_are_those_of_the_roof(modules, monkeypatch, capsys):
    roof_share = modules("roof_share")
    monkeypatch.setattr(kernels, "function", lambda column, name, real=kernels.function: real("reference", name))
    monkeypatch.setattr(roof_share, "CONVOLUTIONS", ((32, 32, 4, 3),))
    monkeypatch.setattr(roof_share, "FLOP_OF_A_CALL", 1)
    monkeypatch.setattr(roof_share.roof, "fma_loop", lambda: None)
    monkeypatch.setattr(roof_share, "timed", lambda calls, seconds: [2.0, 1.0, 4.0, 1.0])       # kernel, roof, kernel, roof
    assert roof_share.main(["--kinds", "conv", "--rounds", "1", "--json"]) == 0
    forward, backward, _ = json.loads(capsys.readouterr().out)["results"]
    flop = 2 * 32 * 32 * 4 * 4 * 9
    assert forward["rates"]["kernel"]["median"] == pytest.approx(flop / 1e9 / 3)
    assert forward["ratio"] == pytest.approx(flop / 3 / roof_share.roof.FMA_FLOP)
    assert (forward["target"], backward["target"]) == (0.90, 0.85)
