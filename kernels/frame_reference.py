"""The frame of padding around images, and what one tap of a window sees of it: shared by convolution and pooling.

A window of size (R, S) stands at P x Q places, (stride_h, stride_w) apart, the first one pad_top above and pad_left
beside the input. Together the windows reach over a frame of

    (P - 1) stride_h + R  rows  and  (Q - 1) stride_w + S  columns,

which is padding, the input, and padding again; the last rows or columns of the input may stay outside of it.
Arguments are pairs (vertical, horizontal): size, places, stride, pad.
"""
import numpy as np


def empty_frame(images, channels, size, places, stride, fill, dtype):
    """A frame (N, rows, columns, C) without an input in it."""
    rows, columns = ((p - 1) * step + extent for p, step, extent in zip(places, stride, size, strict=True))
    return np.full((images, rows, columns, channels), fill, dtype)


def framed(x, size, places, stride, pad, fill=0):
    """x (N, H, W, C) -> its frame (N, rows, columns, C)."""
    frame = empty_frame(len(x), x.shape[3], size, places, stride, fill, x.dtype)
    inside, reached = overlap(frame, x, pad)
    inside[...] = reached
    return frame


def unframed(frame, x, pad):
    """Writes the frame's inside back to x; what no window reaches becomes 0."""
    x[...] = 0
    inside, reached = overlap(frame, x, pad)
    reached[...] = inside


def overlap(frame, x, pad):
    """Two views of equal shape: where the frame holds x, and the part of x that it holds."""
    rows, columns = (max(0, min(x.shape[axis], frame.shape[axis] - pad[axis - 1])) for axis in (1, 2))
    return frame[:, pad[0]:pad[0] + rows, pad[1]:pad[1] + columns], x[:, :rows, :columns]


def tap(frame, r, s, places, stride):
    """The view (N, P, Q, C) of what tap (r, s) of the window meets at each place."""
    rows, columns = (slice(first, first + (p - 1) * step + 1, step)
                     for first, p, step in zip((r, s), places, stride, strict=True))
    return frame[:, rows, columns]
