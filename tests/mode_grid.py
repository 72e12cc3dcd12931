"""A program: runs cpu kernels over a small grid and judges them by the reference, for tests in other modes of Numba.

    python mode_grid.py [--python] NAME ...        prints one line of JSON: calls made, and a hash of each kernel's bits

--python is for NUMBA_DISABLE_JIT=1: what np.empty gives is filled with NaN, so that scratch that is read before it is written
shows; and every 13th shape of the grid of windows is run, since slices beyond the end of scratch raise there.
"""
import hashlib
import json
import sys

import numpy as np

from minicnn import kernels


def poison_empty_arrays():
    empty = np.empty

    def poisoned(shape, dtype=float, **named):
        array = empty(shape, dtype, **named)
        array.view(np.uint8).reshape(-1)[...] = 0xFF
        return array
    np.empty = poisoned


def check(name):
    """All small shapes of one kernel, integers exactly and random numbers within the bound; (calls, hash of the bits)."""
    from closeness import assert_close
    from kernel_bounds import bound
    from kernel_cases import assert_same, build, few_shapes, is_exact, run

    digest, shapes = hashlib.sha256(), few_shapes(name)
    for shape in shapes:
        if is_exact(name, shape):
            assert_same(name, shape)
        args = build(name, shape, integers=False)
        exact, result = run("reference", name, args), run("cpu", name, args)
        bounds = bound(name, args, exact)
        for output, value in result.items():
            digest.update(value.tobytes())
            if value.dtype == np.float32:
                assert_close(value, exact[output], bounds[output][1], bounds[output][0], f"{name}: {output}")
            else:
                assert np.array_equal(value, exact[output])
    return len(shapes), digest.hexdigest()


def sweep(name):
    """Every 13th shape of the grid of windows, exactly; the number of calls."""
    from kernel_cases import assert_same, grid_of, is_exact

    spec = kernels.SPECS[name]
    shapes = list(grid_of(name))[::13] if spec.windows else []
    for shape in shapes:
        if is_exact(name, shape):
            assert_same(name, shape)
    return len(shapes)


def main(names):
    in_python = "--python" in names
    if in_python:
        poison_empty_arrays()
        names.remove("--python")
    found = {name: check(name) for name in names}
    calls = sum(n for n, _ in found.values()) + (sum(map(sweep, names)) if in_python else 0)
    sys.stdout.write(json.dumps({"calls": calls, "bits": {k: d for k, (_, d) in found.items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
