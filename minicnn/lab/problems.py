"""Problem strings: the sizes of one call of a kernel in a word, written as benchdnn writes them.

    mb32ic16ih28oc32kh3ph1n"second layer"

| key    | what it is                  | default | axis or argument          |
|--------|-----------------------------|---------|---------------------------|
| mb     | images                      | 2       | N                         |
| ic     | channels of the input       |         | C; K of softmax and losses |
| ih iw  | input height, width         | iw = ih | H, W                      |
| oc     | channels of the output      |         | K                         |
| oh ow  | output height, width        | what fits; ow = oh | P, Q           |
| kh kw  | filter or window            | kw = kh | R, S, size_h, size_w      |
| sh sw  | stride                      | 1, sw = sh | stride_h, stride_w     |
| ph pw  | padding above, to the left  | 0, pw = ph | pad_top, pad_left      |
| g      | groups: 1 only              | 1       |                           |
| dh dw  | dilation: 0 only            | 0       |                           |

Which keys a kernel has depends on its arrays (`keys`). Where oh is given, the padding below follows from it, and ph, if it
is left out, is half of all padding; else the padding below is ph. An underscore may stand between keys. One name, in
n"quotes", is kept as the label. The source: oneDNN's benchdnn, doc/knobs and doc/driver_conv.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..errors import UsageError
from ..kernels import SPECS
from ..kernels.table import validate

LIMIT = 1 << 31                 # of one size
_ONE = re.compile(r'n"(?P<label>[^"]*)"|(?P<key>[a-z]+)(?P<number>[0-9]+)|_')
_SPACE = "mb ic ih iw"
_WINDOW = f"{_SPACE} oh ow kh kw sh sw ph pw g dh dw"
_OPTIONAL = {"mb": 2, "g": 1, "dh": 0, "dw": 0, "sh": 1}
_SAME_AS = {"iw": "ih", "ow": "oh", "kw": "kh", "sw": "sh", "pw": "ph", "dw": "dh"}
_FIXED = {"g": (1, "groups are"), "dh": (0, "dilation is"), "dw": (0, "dilation is")}


@dataclass(frozen=True)
class Problem:
    """One call of a kernel.  text: in the shortest spelling.  shape: extents by axis letter ("*" for arrays with any axes),
    and integer arguments by name.
    """

    kernel: str
    text: str
    label: str | None
    shape: dict

    @property
    def batch(self) -> int | None:
        """Images, or rows; None for a kernel without a batch."""
        if self.kernel.endswith("_update"):
            return None
        return self.shape["N"] if "N" in self.shape else self.shape["*"][0]

    def with_batch(self, n: int) -> Problem:
        """The same for n images."""
        shape = self.shape | {"N": n}
        if "*" in shape:
            shape["*"] = (n, *shape["*"][1:])
        if "count" in shape:
            shape["count"] = n * shape["H"] * shape["W"]
        return replace(self, shape=shape)

    def extents(self, array) -> tuple[int, ...]:
        """The shape of one array of the table."""
        return self.shape["*"] if array.axes == "*" else tuple(self.shape[letter] for letter in array.axes)


def keys(kernel: str) -> str:
    """The keys that a kernel has, in their order."""
    spec = SPECS[kernel]
    axes = "".join(array.axes for array in spec.arrays)
    if kernel.endswith("_update"):
        return "ic oc kh kw"
    if spec.windows:
        return _WINDOW if "size_h" in spec.integers else _WINDOW.replace("oh", "oc oh")
    if kernel.startswith("dense_"):
        return "mb ic oc"
    return "mb ic" if "K" in axes else _SPACE


def parse(text: str, kernel: str) -> Problem:
    """The problem that a string describes, for this kernel. Raises UsageError, with the place in the string."""
    text = text.strip()
    known, given, label, place = keys(kernel).split(), {}, None, 0
    while place < len(text):
        one = _ONE.match(text, place)
        if one is None:
            raise _error(text, place, f"expected a key and a number, as ic16; keys of {kernel}: {' '.join(known)}")
        if one["label"] is not None:
            label = one["label"]
        elif one["key"]:
            _check_key(text, place, one["key"], int(one["number"][:20]), known, given, kernel)
            given[one["key"]] = int(one["number"])
        place = one.end()
    sizes = _complete(text, kernel, known, given)
    problem = Problem(kernel, _spell(sizes, known), label, _shape(kernel, sizes))
    _check_call(text, problem)
    return problem


def _error(text: str, place: int, what: str) -> UsageError:
    return UsageError(f"problem '{text}', character {place + 1}: {what}", hint=f"{text}\n{' ' * place}^")


def _check_key(text, place, key, number, known, given, kernel):
    if key not in known:
        raise _error(text, place, f"{kernel} has no '{key}'; its keys: {' '.join(known)}")
    if key in given:
        raise _error(text, place, f"'{key}' is given twice")
    if key in _FIXED and number != _FIXED[key][0]:
        raise _error(text, place, f"{_FIXED[key][1]} not supported: {key} must be {_FIXED[key][0]}, got {number}")
    if number >= LIMIT or (number < 1 and key not in ("ph", "pw", "dh", "dw")):
        raise _error(text, place, f"{key} must lie in 1..{LIMIT - 1}, got {number}")


def _complete(text: str, kernel: str, known: list[str], given: dict[str, int]) -> dict[str, int]:
    """All sizes: what was left out follows from the rest."""
    sizes = {key: given[key] for key in known if key in given}
    needed = {"ic", "oc", "ih", "kh"} & set(known) if SPECS[kernel].windows or "sh" in known else {"ic"}
    needed |= {"oc"} if kernel.startswith("dense_") else set()
    if missing := sorted(needed - sizes.keys()):
        raise _error(text, len(text), f"{kernel} needs {' '.join(missing)} as well; its keys: {' '.join(known)}")
    for key in known:
        if key not in sizes and key not in ("oh", "ow", "ph", "pw"):
            sizes[key] = sizes[_SAME_AS[key]] if _SAME_AS.get(key) in sizes else _OPTIONAL.get(key, 1)
    if "sh" in known:
        for axis in "hw":
            _complete_axis(text, axis, sizes, given)
    return sizes


def _complete_axis(text: str, axis: str, sizes: dict, given: dict) -> None:
    out, pad = f"o{axis}", f"p{axis}"
    extent, window, step = (sizes[letter + axis] for letter in "iks")
    outputs = given.get(out)
    if axis == "w" and outputs is None and all(sizes[letter + "w"] == sizes[letter + "h"] for letter in "iks"):
        outputs = given.get("oh") if given.get("pw", sizes["ph"]) == sizes["ph"] else None
    if pad not in given:
        half = 0 if outputs is None else max(0, ((outputs - 1) * step + window - extent) // 2)
        sizes[pad] = given["ph"] if axis == "w" and "ph" in given else half
    if outputs is None:
        if extent + 2 * sizes[pad] < window:
            raise _error(text, 0, f"k{axis}={window} does not fit into i{axis}={extent} with {pad}={sizes[pad]} on both sides")
        outputs = _fitting(sizes, axis)
    sizes[out] = outputs


def _fitting(sizes: dict, axis: str) -> int:
    """Windows that fit with equal padding on both sides."""
    return (sizes["i" + axis] + 2 * sizes["p" + axis] - sizes["k" + axis]) // sizes["s" + axis] + 1


def _spell(sizes: dict, known: list[str]) -> str:
    """The shortest string that means these sizes; outputs and paddings are all written where they do not follow."""
    told = "sh" in known and any(sizes["o" + axis] != _fitting(sizes, axis) for axis in "hw")
    text = ""
    for key in known:
        if key in ("oh", "ow", "ph", "pw") and told:
            text += f"{key}{sizes[key]}"
        elif key in ("oh", "ow", *_FIXED):
            continue
        elif key in _SAME_AS:
            text += f"{key}{sizes[key]}" if sizes[key] != sizes[_SAME_AS[key]] else ""
        elif key in ("mb", "ic", "oc", "ih") or sizes[key] != {"sh": 1, "ph": 0}.get(key):
            text += f"{key}{sizes[key]}"
    return text


def _shape(kernel: str, sizes: dict) -> dict:
    """Extents by axis letter and integers by name, of this kernel."""
    if kernel.endswith("_update"):
        return {"*": (sizes["kh"] * sizes["kw"] * sizes["ic"], sizes["oc"])}
    N, C, H, W = sizes["mb"], sizes["ic"], sizes.get("ih", 1), sizes.get("iw", 1)
    axes = {letter for array in SPECS[kernel].arrays for letter in array.axes}
    shape = {"N": N, "H": H, "W": W, "C": C, "K": sizes.get("oc", C), "E": H * W * C, "count": N * H * W}
    if "*" in axes:
        shape["*"] = (N, H, W, C)
    if "sh" in sizes:
        window = {"size_h": sizes["kh"], "size_w": sizes["kw"]}
        places = {"stride_h": sizes["sh"], "stride_w": sizes["sw"], "pad_top": sizes["ph"], "pad_left": sizes["pw"]}
        shape |= {"R": sizes["kh"], "S": sizes["kw"], "P": sizes["oh"], "Q": sizes["ow"]} | window | places
    return shape


def _check_call(text: str, problem: Problem) -> None:
    """Has the table judge a call of one image of zeros: what no kernel would accept is no problem."""
    one, spec = problem if problem.batch is None else problem.with_batch(1), SPECS[problem.kernel]
    arrays = [np.zeros(one.extents(array), np.float32 if array.dtype == "float" else array.dtype) for array in spec.arrays]
    numbers = [one.shape.get(name, 1) for name in spec.integers] + [0.5 for _ in spec.floats]
    try:
        validate(spec, (*arrays, *numbers), np.dtype(np.float32))
    except ValueError as error:
        raise UsageError(f"problem '{text}': {error}") from None
