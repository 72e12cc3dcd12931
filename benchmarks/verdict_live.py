"""Does the kernel lab's verdict hold on this machine, now? Pairs of contenders whose true difference is known.

    python benchmarks/verdict_live.py [PAIRS] [--record FILE.npy]

A/A: both contenders make the same call. Planted: the second one makes 11 calls where the first makes 10. Of 100 A/A pairs
at least 95 must be SAME or UNCLEAR and at most 30 UNCLEAR; of the planted ones at least 90 SLOWER. --record keeps the
samples of the A/A pairs, (pairs, 2, rounds) in seconds: tests/timings.npy was made like that.
"""
import argparse
import sys
from collections import Counter

import numpy as np

from minicnn.kernels import function
from minicnn.lab import arguments, clock, problems, verdict

PROBLEM = problems.parse("mb1ic32ih14oc32kh3ph1", "conv2d_forward")
SECONDS = 0.12


def contender(args, repeats):
    """A call that makes the kernel's call a few times. All work on the same arrays, as in the lab: with arrays of its own
    the second one of each pair was 2 to 5 % faster on a Zen 3, wherever memory happened to put them.
    """
    kernel = function("cpu", PROBLEM.kernel)

    def call():
        for _ in range(repeats):
            kernel(*args)

    return call


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="?", type=int, default=100)
    parser.add_argument("--record")
    options = parser.parse_args()
    args = arguments.build(PROBLEM)
    seen, recorded = {"A/A": Counter(), "planted": Counter()}, []
    for _ in range(options.pairs):
        for kind, repeats in (("A/A", 10), ("planted", 11)):
            one, other = clock.run([contender(args, 10), contender(args, repeats)], SECONDS)
            a, b = clock.paired(one, other)
            seen[kind][verdict.compare(a, b).word] += 1
            if kind == "A/A":
                recorded.append((a, b))
    for kind, words in seen.items():
        print(f"{kind:8} {options.pairs} pairs: " + ", ".join(f"{n} {word}" for word, n in words.most_common()))
    if options.record:
        rounds = min(len(a) for a, _ in recorded)
        np.save(options.record, np.array([(a[:rounds], b[:rounds]) for a, b in recorded], np.float32))
    share = {kind: {word: n / options.pairs for word, n in words.items()} for kind, words in seen.items()}
    named = share["A/A"].get(verdict.FASTER, 0) + share["A/A"].get(verdict.SLOWER, 0)
    holds = named <= 0.05 and share["A/A"].get(verdict.UNCLEAR, 0) <= 0.3 and share["planted"].get(verdict.SLOWER, 0) >= 0.9
    print("the verdict holds" if holds else "the verdict does NOT hold on this machine now")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
