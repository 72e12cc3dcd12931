"""One call of a kernel on one image as several calls, which threads make at the same time: each fills a band of output lines.

Lines  first .. last - 1  of the output see the input's lines  first stride - pad .. (last - 1) stride - pad + size - 1.
A band of one image is contiguous memory, so its call is an ordinary one on views; and what an output is the sum of does not
depend on the band, so the bits are those of the whole call. A kernel that names the parameters `part, parts` behind those of
the table cuts its work itself (Winograd: by output channels, so that each filter is transformed once).
"""
from .jit import Kernel
from .table import Spec


def split(kernel: Kernel, args: tuple, parts: int) -> list[tuple | None]:
    """The arguments of each part; None for a part that has nothing to do. What cannot be cut is all part 0's."""
    if parts == 1 or "parts" in kernel.links:
        return [args] * parts
    cut = _cutter(kernel.spec, args)
    if cut is None:
        return [args] + [None] * (parts - 1)
    lines, band = cut
    bounds = [lines * part // parts for part in range(parts + 1)]
    return [band(first, last) if first < last else None for first, last in zip(bounds, bounds[1:], strict=False)]


def _cutter(spec: Spec, args):
    """(output lines, function of a band's first and last that returns its arguments), or None."""
    if not spec.name.endswith("_forward") or args[0].ndim != 4 or len(args[0]) != 1:
        return None
    if spec.windows:
        return _windows(spec, args)
    if not all(array.axes in ("*", "NHWC") for array in spec.outputs):
        return None

    def pixels(first, last):
        return tuple(arg[:, first:last] if getattr(arg, "ndim", 0) == 4 else arg for arg in args)
    return args[0].shape[1], pixels


def _windows(spec: Spec, args):
    axes = [array.axes for array in spec.arrays]
    known = dict(zip(spec.parameters, args, strict=True))
    for letters, array in zip(axes, args, strict=False):
        known |= dict(zip(letters, array.shape, strict=True))
    (_, _, sizes, stride, pad, _), _ = spec.windows
    size, stride, top, pad_at = sum(known[name] - 1 for name in sizes) + 1, known[stride], known[pad], spec.parameters.index(pad)
    if top >= size or (known["P"] - 1) * stride - top >= known["H"]:
        return None                             # a window of zeros alone: a band of them would have no input

    def band(first, last):
        above, below = first * stride - top, (last - 1) * stride - top + size
        inside = {"H": slice(max(0, above), min(known["H"], below)), "P": slice(first, last)}
        cut = [arg[:, inside[letters[1]]] if letters[1:2] in inside else arg for letters, arg in zip(axes, args, strict=False)]
        cut += args[len(axes):]
        cut[pad_at] = max(0, -above)
        return tuple(cut)
    return known["P"], band
