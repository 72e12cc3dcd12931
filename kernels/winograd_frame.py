"""A window of some images with zeros where it leaves them, channels filled up to whole vectors."""
from .frame_cpu import copy_run, zero_run
from .jit import helper
from .simd import LANES, load_tail, store


@helper
def frame(x, n, images, top, left, H, W, C, rows, cols, channels, framed):
    """framed[i, row, col, c] = x[n + i, top + row, left + col, c]; 0 outside the image and for c >= C."""
    begin, end = min(max(0, -left), cols), max(0, min(cols, W - left))
    end = max(begin, end)
    for i in range(images):
        for row in range(rows):
            h, j = top + row, (i * rows + row) * cols * channels
            if not 0 <= h < H or begin == end:
                zero_run(framed, j, cols * channels)
                continue
            zero_run(framed, j, begin * channels)
            first = (((n + i) * H + h) * W + left + begin) * C
            if C == channels:
                copy_run(x, first, framed, j + begin * channels, (end - begin) * C)
            else:
                for col in range(begin, end):
                    for c in range(0, channels, LANES):
                        store(framed, j + col * channels + c, load_tail(x, first + (col - begin) * C + c, C - c))
            zero_run(framed, j + end * channels, (cols - end) * channels)
