"""The split rule: which image belongs to train, validation and test.

    u = SHA-256(bytes) / 2^256          bytes of the file, or of the pixels for arrays

    test  where u < test share          val  where u < test share + val share          train  elsewhere

applied class by class. It needs no random numbers and no list: an image keeps its part when others are added, equal
files land together, and the counts come out approximately. A class that the thresholds would leave without test (or
validation) images gives its lowest u to that part, one without training images its highest.
"""

import numpy as np

from ..errors import DataError, UsageError

TRAIN, VAL, TEST = range(3)
PARTS = ("train", "val", "test")


def shares(split) -> tuple[float, float, float]:
    """(train, val, test) in percent from three numbers or a text such as "80,10,10".

    Raises UsageError unless they are three numbers, none negative, train above 0, that add up to 100.
    """
    message = f"split {split!r}: expected train,val,test in percent that add up to 100, as in 80,10,10"
    try:
        numbers = tuple(float(part) for part in (split.split(",") if isinstance(split, str) else split))
    except (TypeError, ValueError):
        raise UsageError(message) from None
    if len(numbers) != 3 or min(numbers) < 0 or numbers[0] <= 0 or not abs(sum(numbers) - 100) <= 1e-6:  # NaN too
        raise UsageError(message)
    return numbers


def position(digest: bytes) -> float:
    """u in [0, 1) of a SHA-256 digest."""
    return int.from_bytes(digest, "big") / 2**256


def assign(digests, labels, given, classes, split) -> np.ndarray:
    """The part of every image: (N,) int8 of TRAIN, VAL, TEST.

    digests: N SHA-256 digests.  labels: (N,) index in `classes`.  given: (N,) int8, the part a data set states
    itself; all TRAIN where it states none.  Parts that are given stay; a part that is not given is taken out of TRAIN
    with its share of `split`, percentages as from `shares`.
    Raises DataError when a class has fewer different images than parts to fill.
    """
    parts = np.array(given, dtype=np.int8)
    val_share = 0.0 if (parts == VAL).any() else split[VAL] / 100
    test_share = 0.0 if (parts == TEST).any() else split[TEST] / 100
    if val_share == 0 and test_share == 0:
        return parts
    open_rows = np.flatnonzero(parts == TRAIN)
    u = np.array([position(digests[row]) for row in open_rows], dtype=np.float64)
    of_class = labels[open_rows]
    for label, name in enumerate(classes):
        mine = of_class == label
        if mine.any():
            parts[open_rows[mine]] = _assign_class(u[mine], val_share, test_share, name)
    return parts


def _assign_class(u, val_share, test_share, name):
    distinct = np.unique(u)  # sorted; equal files are one entry
    needs = [part for part, share in (("val", val_share), ("test", test_share)) if share] + ["train"]
    if len(distinct) < len(needs):
        images = "1 different image" if len(distinct) == 1 else f"{len(distinct)} different images"
        wanted = ", ".join(sorted(needs, key=PARTS.index))
        raise DataError(f"class '{name}' has {images}; it needs at least {len(needs)}, one each for {wanted}")
    # The parts are three runs of the sorted u: [0, first) test, [first, second) val, [second, n) train.
    first = int(np.searchsorted(distinct, test_share))
    second = int(np.searchsorted(distinct, test_share + val_share))
    need_test, need_val = int(test_share > 0), int(val_share > 0)
    first = min(max(first, need_test), len(distinct) - need_val - 1)
    second = min(max(second, first + need_val), len(distinct) - 1)
    rank = np.searchsorted(distinct, u)
    return np.where(rank < first, TEST, np.where(rank < second, VAL, TRAIN)).astype(np.int8)
