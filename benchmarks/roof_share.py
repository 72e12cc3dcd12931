"""How near the kernels come to what one core can do: share of the multiply-adds, or of the bandwidth of a copy.

    python benchmarks/roof_share.py [--kinds conv,memory] [--rounds 5] [--seconds 0.4] [--json]

Direct convolutions with 32 channels and filters and more, in all directions, against a loop of multiply-adds that never
leaves the registers; kernels that do little with each value, over arrays of SIZE bytes that fit no cache, against the
fastest of several copies (roof.py). One thread, one process: kernel and roof take turns, call by call, and the share is that
of their medians. Bytes are those that must be moved: each array read or written once, weights and moments both.

A kernel must first agree with the reference column within TOLERANCE of the largest value; else exit code 1.
"""
from __future__ import annotations

import itertools
import statistics
import sys

import numpy as np
import roof
from figures import rate, ratio, timed
from kernel_calls import TOLERANCE, Call
from report import choice, conditions, finish, parsed, parser, rates_table, refuse
from targets import COPY, ROOF
from workers import progress

CONVOLUTIONS = (        # channels, filters, rows and columns of the map, rows and columns of the filter; padding "same"
    (32, 32, 32, 3), (32, 64, 16, 3), (64, 64, 32, 3), (128, 128, 16, 3), (256, 256, 8, 3), (64, 128, 28, 1), (256, 64, 14, 1),
    (32, 64, 14, 5))
FLOP_OF_A_CALL = 6e8    # about: some milliseconds
SIZE = 256 << 20        # bytes of an array that fits no cache
MAP, CHANNELS = 32, 64
WINDOWS = {"size_h": 2, "size_w": 2, "stride_h": 2, "stride_w": 2}
IN_MEMORY = (
    "maxpool2d_forward", "maxpool2d_backward", "avgpool2d_forward", "avgpool2d_backward", "global_avgpool2d_forward",
    "global_avgpool2d_backward", "relu_forward", "relu_backward", "leaky_relu_forward", "leaky_relu_backward", "sigmoid_forward",
    "sigmoid_backward", "tanh_forward", "tanh_backward", "gelu_forward", "gelu_backward", "batchnorm_statistics", "accumulate",
    "batchnorm_forward", "batchnorm_backward_sums", "batchnorm_backward_input", "sgd_update", "nesterov_update", "adam_update",
    "adamw_update")


def direct(call: Call) -> Call:
    """The call with the direct algorithm."""
    call.function = getattr(call.function, "direct", call.function)
    return call


def convolution(shape: tuple[int, int, int, int], direction: str, images: int) -> Call:
    C, K, H, R = shape
    extents = {"N": images, "H": H, "W": H, "C": C, "P": H, "Q": H, "K": K, "R": R, "S": R}
    return direct(Call(f"conv2d_{direction}", extents, pad_top=R // 2, pad_left=R // 2))


def in_memory(name: str, size: int) -> Call:
    """A kernel over arrays of `size` bytes, those behind a pool excepted."""
    images = max(1, size // (MAP * MAP * CHANNELS * 4))
    extents = {"N": images, "H": MAP, "W": MAP, "C": CHANNELS, "P": MAP // 2, "Q": MAP // 2}
    windows = WINDOWS if name.startswith(("max", "avg")) else {}
    return Call(name, extents, like=(images * MAP * MAP * CHANNELS,), stock=SIZE // 4 if size == SIZE else 0,
                count=images * MAP * MAP, **windows)


def by_turns(kernel, at_best, rounds: int, seconds: float) -> tuple[list, list]:
    """Blocks of times of both, who take turns: kernel, roof, kernel, roof ..."""
    blocks = []
    for _ in range(rounds):
        times = timed(itertools.chain(*itertools.repeat((kernel, at_best), 1_000_000)), seconds)
        times += timed([at_best], 0) if len(times) % 2 else []
        blocks.append(times)
    return [times[::2] for times in blocks], [times[1::2] for times in blocks]


def measure(row: str, target: float, small: Call, call: Call, work: float, at_best, best_work: float, options) -> dict:
    """One kernel: correct on the small call, then timed on the large one; without "rates" where it is wrong."""
    progress(row)
    found = {"row": row, "target": target, "disagreement": small.wrong()}
    if found["disagreement"] <= TOLERANCE:
        for warm in (call.run, at_best):
            warm()
        ours, roofs = by_turns(call.run, at_best, options.rounds, options.seconds)
        found["rates"] = {"kernel": rate(work, ours), "roof": rate(best_work, roofs)}
        found |= ratio(found["rates"]["kernel"], [found["rates"]["roof"]])
    progress("")
    return found


def convolutions(options):
    for shape in CONVOLUTIONS:
        C, K, H, R = shape
        flop = 2 * C * K * H * H * R * R
        images = max(1, round(FLOP_OF_A_CALL / flop))
        for direction, target in ROOF.items():
            row = f"conv {R}x{R}, {C}-{K}@{H}, batch {images}, {direction}, GFLOP/s"
            yield measure(row, target, convolution(shape, direction, 2), convolution(shape, direction, images),
                          images * flop / 1e9, roof.fma_loop, roof.FMA_FLOP / 1e9, options)


def fastest_copy() -> tuple[str, dict[str, float]]:
    """The name of the fastest copy, and GB/s of each."""
    source, target = np.ones(SIZE // 4, np.float32), np.zeros(SIZE // 4, np.float32)
    found = {}
    for name, copy in roof.COPIES.items():
        times = timed([lambda copy=copy: copy(target, source)] * 6, 60)
        found[name] = 2 * SIZE / 1e9 / statistics.median(times[1:])
    return max(found, key=found.get), found


def memory(options, copy_name: str):
    source, target = np.ones(SIZE // 4, np.float32), np.zeros(SIZE // 4, np.float32)
    for name in IN_MEMORY:
        call = in_memory(name, SIZE)
        yield measure(f"{name}, {call.bytes / 1e6:,.0f} MB, GB/s", COPY, in_memory(name, 1), call, call.bytes / 1e9,
                      lambda: roof.COPIES[copy_name](target, source), 2 * SIZE / 1e9, options)


def main(argv=None) -> int:
    made = parser("Kernels beside the machine's roof.", rounds=5, seconds=0.4, threads=None)
    choice(made, "kinds", ("conv", "memory"))
    options = parsed(made, argv)
    found = conditions("roof_share", options, (), tolerance=TOLERANCE, results=[])
    rows = []
    if "conv" in options.kinds:
        rows.append(convolutions(options))
    if "memory" in options.kinds:
        found["copy"], found["copies"] = fastest_copy()
        rows.append(memory(options, found["copy"]))
    for result in itertools.chain(*rows):
        if "rates" not in result:
            return refuse("roof_share", result, "the kernel and the reference", TOLERANCE)
        found["results"].append(result)
    table = rates_table(found, "GFLOP/s or GB/s")
    if "copies" in found:
        table += "\ncopies, GB/s: " + ", ".join(f"{name} {speed:.1f}" for name, speed in found["copies"].items())
    finish(found, table, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
