"""Runs of memory, and images in a frame of zeros: what convolution and pooling share."""
from .jit import helper
from .simd import LANES, load, load_tail, splat, store, store_tail

SCRATCH = 1 << 18           # floats of padded images made at a time: 1 MiB, about half of a core's second-level cache


@helper
def copy_run(a, i, b, j, count):
    """b[j : j + count] = a[i : i + count]."""
    for e in range(0, count - LANES + 1, LANES):
        store(b, j + e, load(a, i + e))
    done = count - count % LANES
    store_tail(b, j + done, load_tail(a, i + done, count - done), count - done)


@helper
def add_run(a, i, b, j, count):
    """b[j : j + count] += a[i : i + count]."""
    for e in range(0, count - LANES + 1, LANES):
        store(b, j + e, load(b, j + e) + load(a, i + e))
    done = count - count % LANES
    if done < count:
        store_tail(b, j + done, load_tail(b, j + done, count - done) + load_tail(a, i + done, count - done), count - done)


@helper
def zero_run(b, j, count):
    for e in range(0, count - LANES + 1, LANES):
        store(b, j + e, splat(0.0))
    done = count - count % LANES
    store_tail(b, j + done, splat(0.0), count - done)


@helper
def pad_images(x, first, images, top, left, scratch, rows, cols):
    """scratch[i, h + top, w + left] = x[first + i, h, w], zeros around; what lies beyond its rows and columns is left out."""
    H, W, C = x.shape[1:]
    left = min(left, cols)                  # a stride may step over the whole image, and over part of its border
    copied = min(W, cols - left)
    for i in range(images):
        for row in range(rows):
            j, h = (i * rows + row) * cols * C, row - top
            if 0 <= h < H:
                zero_run(scratch, j, left * C)
                copy_run(x, ((first + i) * H + h) * W * C, scratch, j + left * C, copied * C)
                zero_run(scratch, j + (left + copied) * C, (cols - left - copied) * C)
            else:
                zero_run(scratch, j, cols * C)
