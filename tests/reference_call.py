"""Calls a kernel of the reference column on poisoned outputs: what a kernel does not write stays NaN (bytes: 203)."""
import numpy as np

from minicnn import kernels


def reference(name, *arrays, **numbers):
    """The outputs of a kernel: one array, or a tuple in the order of the table.

    arrays: the inputs, then the arrays that are updated in place (copied first); lists will do. Float arrays are
    brought to their common type. numbers: integers and floats by name, and extents of the outputs that no input has
    (P=3, Q=2).
    """
    spec = kernels.SPECS[name]
    given = [a for a in spec.arrays if not a.output or a.updated]
    assert len(arrays) == len(given), f"{name} takes {[a.name for a in given]}"
    floats = [np.asarray(v) for a, v in zip(given, arrays, strict=True) if a.dtype == "float"]
    dtype = np.result_type(np.float32, *floats)
    values = {a.name: np.array(v, dtype if a.dtype == "float" else a.dtype) for a, v in zip(given, arrays, strict=True)}
    extents = {letter: numbers.pop(letter) for letter in list(numbers) if letter.isupper()}
    for a in given:
        extents.update({"*": values[a.name].shape} if a.axes == "*" else zip(a.axes, values[a.name].shape, strict=True))
    for a in spec.outputs:
        if not a.updated:
            shape = extents["*"] if a.axes == "*" else tuple(extents[letter] for letter in a.axes)
            values[a.name] = np.full(shape, np.nan, dtype) if a.dtype == "float" else np.full(shape, 203, a.dtype)
    kernels.function("reference", name)(**values, **numbers)
    results = tuple(values[a.name] for a in spec.outputs)
    return results if len(results) > 1 else results[0]
