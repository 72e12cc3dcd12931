"""The cpu column in other modes of Numba, each in a process of its own: the same answers, and for contractions the same bits.

    without the compiler        every kernel in Python, scratch poisoned; slices past an end raise there
    with bounds checks          plain indexing raises where it leaves an array
    for older processors        haswell: AVX2, 16 registers; generic: SSE2, no fused multiply-add; other tiles than AVX-512's
    with scratch of garbage     glibc fills what malloc gives, so that scratch read before it is written shows
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest
from mode_grid import check

from minicnn import kernels

CONTRACTIONS = [name for name in kernels.KERNELS if name.startswith(("conv2d", "dense"))]
MODES = {
    "without the compiler": ({"NUMBA_DISABLE_JIT": "1"}, ["--python", *kernels.KERNELS]),
    "with bounds checks": ({"NUMBA_BOUNDSCHECK": "1"}, [
        "conv2d_backward_input", "dense_backward_weight", "maxpool2d_backward", "global_avgpool2d_forward", "dropout_forward",
        "softmax_cross_entropy_forward", "softmax_cross_entropy_backward", "batchnorm_forward"]),
    # Numba adds the host's features to a processor that is named, unless it is told which: none but the processor's own.
    "for haswell": ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}, [
        *CONTRACTIONS, "maxpool2d_forward", "softmax_forward", "gelu_forward"]),
    "for any processor": ({"NUMBA_CPU_NAME": "generic"}, [
        "conv2d_forward", "conv2d_backward_weight", "dense_forward", "tanh_forward", "adam_update"]),
    "with scratch of garbage": ({"MALLOC_PERTURB_": "165"}, [*CONTRACTIONS, "batchnorm_backward_input"]),
}


def run_mode(environment, arguments, cwd):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return subprocess.run([sys.executable, str(Path(__file__).with_name("mode_grid.py")), *arguments], env=clean | environment,
                          cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("mode", MODES)
def test_mode(mode, tmp_path):
    environment, arguments = MODES[mode]
    done = run_mode(environment, arguments, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout)
    names = [name for name in arguments if not name.startswith("--")]
    assert list(answer["bits"]) == names and answer["calls"] >= (5 * len(names) if names == arguments else 900)
    for name in set(names) & set(CONTRACTIONS):
        assert answer["bits"][name] == check(name)[1], f"{name} {mode}: other bits"


def test_the_modes_are_what_they_say(tmp_path):
    """Each variable reaches the kernels: else the runs above would all be the same."""
    code = ("from numba import config\n"
            "from minicnn.kernels import cache, contract_cpu, simd\n"
            "print(config.DISABLE_JIT, config.BOUNDSCHECK, contract_cpu.ROWS, simd.load.__module__, cache._key())\n")
    said = {}
    for mode, (environment, _) in MODES.items():
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, cwd=tmp_path, capture_output=True,
                              text=True)
        said[mode] = done.stdout.split()
    assert said["without the compiler"][0] == "1" and said["without the compiler"][3] == "minicnn.kernels.simd_python"
    assert said["with bounds checks"][1] == "1"
    assert said["for haswell"][2] == said["for any processor"][2] == "6"
    own = llvmlite.binding.get_host_cpu_name()          # named or not, one folder of kernels must mean one size of tile
    named, unnamed = (subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_CPU_NAME": name}, cwd=tmp_path,
                                     capture_output=True, text=True).stdout.split() for name in (own, ""))
    assert named[4] != unnamed[4] or named[2] == unnamed[2]
    keys = {mode: words[-1] for mode, words in said.items() if mode != "without the compiler"}
    assert len(set(keys.values())) == len(keys)                         # each mode has its own folder of compiled kernels


def test_a_wrong_answer_in_a_mode_is_seen(tmp_path):
    """The program fails when a kernel is wrong, and when scratch is read before it is written."""
    wrong = ("import numpy as np, mode_grid\n"
             "mode_grid.poison_empty_arrays()\n"
             "from minicnn import kernels\n"
             "def body(x, y): y[...] = np.maximum(x, 0) + np.empty(x.shape, np.float32)\n"
             "kernels.function('cpu', 'relu_forward').body = body\n"
             "mode_grid.main(['relu_forward'])\n")
    done = subprocess.run([sys.executable, "-c", wrong], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent)})
    assert done.returncode == 1 and "values of y are wrong" in done.stderr
