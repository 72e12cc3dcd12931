"""The SIMD vocabulary in plain NumPy, for NUMBA_DISABLE_JIT=1: a Vec is a float32 array of 16. See simd.py."""
import numpy as np

__all__ = [
    "address", "below", "bits", "both", "either", "equal", "flat", "fma", "from_bits", "invert", "isnan", "less", "less_equal",
    "load", "load_bytes", "load_tail", "max_lanes", "not_inlined", "row_steps", "splat", "splat_int", "sqrt", "store",
    "store_bytes", "store_tail", "sum_lanes", "tile_add", "tile_axpy", "tile_fma", "tile_load", "tile_relu", "tile_scatter",
    "tile_store", "tile_zeros", "to_float", "to_int", "where",
]
LANES = 16
np.seterr(over="ignore", under="ignore", invalid="ignore", divide="ignore")    # as compiled code: NaN and inf are values


def _number(v):
    """Numbers take part in float32 or int32, as when they are spread over lanes."""
    return v if isinstance(v, np.ndarray) else np.int32(v) if isinstance(v, int | np.integer) else np.float32(v)


# ---- memory ----

def address(a):
    return a


def flat(a, i):
    return a.reshape(-1)[i:]


def not_inlined():
    """Nothing is inlined here."""


def load_tail(a, i, n):
    n = min(n, LANES)
    v = np.zeros(LANES, np.float32)
    v[:n] = a.reshape(-1)[i:i + n]
    return v


def load(a, i):
    return load_tail(a, i, LANES)


def store_tail(a, i, v, n):
    n = min(n, LANES)
    a.reshape(-1)[i:i + n] = v[:n]


def store(a, i, v):
    store_tail(a, i, v, LANES)


def load_bytes(a, i, n):
    return load_tail(a, i, n).astype(np.int32)


def store_bytes(a, i, v, n):
    store_tail(a, i, v.astype(np.uint8), n)


# ---- arithmetic ----

def splat(s):
    return np.full(LANES, s, np.float32)


def splat_int(k):
    return np.full(LANES, k, np.int32)


def fma(v, w, u):
    v, w, u = (np.float64(_number(t)) for t in (v, w, u))
    return (v * w + u).astype(np.float32)


def sqrt(v):
    return np.sqrt(v)


def below(n):
    return np.arange(LANES) < n


def less(v, w):
    return v < _number(w)


def less_equal(v, w):
    return v <= _number(w)


def equal(i, k):
    return i == k


def isnan(v):
    return np.isnan(v)


def both(p, q):
    return p & q


def either(p, q):
    return p | q


def invert(p):
    return ~p


def where(p, v, w):
    return np.where(p, _number(v), _number(w))


def to_int(v):
    return v.astype(np.int32)


def to_float(i):
    return i.astype(np.float32)


def bits(v):
    return v.view(np.int32)


def from_bits(i):
    return i.view(np.float32)


# ---- across lanes ----

def sum_lanes(v):
    for width in (8, 4, 2, 1):
        v = v + np.roll(v, -width)
    return v[0]


def max_lanes(v):
    return v.max()              # NumPy's maximum passes NaN on


# ---- tiles: (m, nv * 16) float32 ----

def tile_zeros(m, nv):
    return np.zeros((m, nv * LANES), np.float32)


def _row(a, i, nv, n):
    n = LANES if n is None else n
    whole = (nv - 1) * LANES
    row = np.zeros(nv * LANES, np.float32)
    row[:whole + min(n, LANES)] = a.reshape(-1)[i:i + whole + min(n, LANES)]
    return row


def tile_add(t, a, i, step, n):
    return t + np.stack([_row(a, i + r * step, t.shape[1] // LANES, n) for r in range(len(t))])


def tile_store(t, a, i, step, n):
    width = t.shape[1] - LANES + min(n, LANES)
    for r, row in enumerate(t):
        a.reshape(-1)[i + r * step:i + r * step + width] = row[:width]


def row_steps(step):
    return step


def tile_fma(t, a, i, rows, b, j, n):
    pixels = np.array([a.reshape(-1)[i + r * rows] for r in range(len(t))], np.float64)
    return (pixels[:, None] * _row(b, j, t.shape[1] // LANES, n) + t).astype(np.float32)


def tile_relu(t):
    return np.where(t <= 0, np.float32(0), t)


def _rows(t, a, i, step):
    return [a.reshape(-1)[i + r * step:i + r * step + t.shape[1]] for r in range(len(t))]


def tile_load(m, nv, a, i, step):
    return np.stack(_rows(tile_zeros(m, nv), a, i, step))


def tile_axpy(t, s, a, i, step):
    return (np.stack(_rows(t, a, i, step)).astype(np.float64) * s + t).astype(np.float32)


def tile_scatter(t, s, a, i, step):
    for row, place in zip(t, _rows(t, a, i, step), strict=True):
        place[:] = row.astype(np.float64) * s + place
