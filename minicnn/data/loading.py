"""data.load: from what the user names to a prepared data set.

    name or path -> the first of FORMATS that detects it -> Source -> decode to one size -> split -> Dataset
"""

import os

import numpy as np

from ..errors import DataError, UsageError
from . import drawing
from .dataset import Dataset, Part, Source, fingerprint
from .formats import detect
from .names import printable
from .prepare import COLOUR_TO_GRAY, LARGEST_SIDE, statistics
from .split import PARTS, TRAIN, assign, shares

SKIPPED_LIMIT = 0.01
IMBALANCE = 5


def load(
    source, size=None, split=(80, 10, 10), strict=False, *, like=None, command="minicnn train", **options
) -> Dataset:
    """The data set that `source` names: digits, shapes, a folder of pictures or IDX files, an IDX or an .npz file.

    size     side in pixels, or (height, width). Default: for folders 48, or the median of the pictures' shorter sides
             where that is less; everything else keeps its own.
    split    train, val, test in percent, see split.py; parts that the data state themselves stay
    strict   one unreadable file is an error; otherwise more than 1 %
    like     a Dataset or net whose `preprocessing` and `classes` are used instead of the data's own
    command  the words before the source in a "did you mean"
    options  side=, classes=, count=, seed=, channels= of shapes

    Raises UsageError (no such name or path, impossible size or split), DataError (the data cannot be used).
    """
    parts = shares(split)
    target = _target_size(size)
    chosen = detect(source, command)
    if options and chosen.name != "shapes":
        raise TypeError(f"{', '.join(options)}: options of shapes only, not of {chosen.name} data")
    raw = chosen.read(source, **options)
    name = os.path.basename(os.path.abspath(source)) if not chosen.named else chosen.name
    return assemble(raw, name, source=os.fspath(source), size=target, split=parts, strict=strict, like=like)


def shapes(side=32, classes=4, count=1200, seed=0, channels=3, split=(80, 10, 10)) -> Dataset:
    """Pictures made by program, see drawing.py: what load("shapes", ...) gives, even where a file has that name."""
    raw = drawing.read(side=side, classes=classes, count=count, seed=seed, channels=channels)
    return assemble(raw, "shapes", split=shares(split))


def assemble(raw: Source, name, source=None, size=None, split=(80, 10, 10), strict=False, like=None) -> Dataset:
    """A Dataset from a Source: decode, drop what cannot be decoded, split, take the train part's mean and std."""
    source = source or name
    if like is not None:
        _use_classes(raw, like.classes, source)
    elif len(raw.classes) < 2:
        raise DataError(f"Only one class found ({raw.classes[0]}). A classifier needs at least two.")
    size = tuple(like.preprocessing["size"]) if like is not None else size or raw.size
    channels = like.preprocessing["channels"] if like is not None else raw.channels
    if channels < raw.channels:
        raw.notes.append(COLOUR_TO_GRAY)
    pixels, reasons = raw.decode(size, channels)
    if reasons:
        pixels = _drop(raw, pixels, reasons)
    _check_skipped(raw, source, strict)
    parts = assign(raw.digests, raw.labels, raw.given, raw.classes, split)
    _check_train(raw, parts, source, like)
    if like is None:
        mean, std = statistics(pixels[parts == TRAIN])
        preprocessing = {"size": list(size), "channels": channels, "mean": mean, "std": std}
        preprocessing |= {"resize": "bicubic", "white": raw.white}
    else:
        preprocessing = dict(like.preprocessing)
    made = [_part(raw, pixels, parts == number, preprocessing) for number in range(len(PARTS))]
    return Dataset(
        name=name,
        train=made[0],
        val=made[1],
        test=made[2],
        classes=list(raw.classes),
        preprocessing=preprocessing,
        fingerprint=fingerprint(raw, parts, size, channels),
        skipped=raw.skipped,
        summary=_summary(raw, made, source, size),
    )


def _target_size(size):
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or not all(1 <= side <= LARGEST_SIDE for side in pair):
        raise UsageError(f"size {size}: expected 1 to {LARGEST_SIDE} pixels, or (height, width)")
    return int(pair[0]), int(pair[1])


def _use_classes(raw, classes, source):
    """Renumbers the labels after `classes`, by name."""
    places = {name: index for index, name in enumerate(classes)}
    unknown = [name for name in raw.classes if name not in places]
    if unknown:
        raise DataError(
            f"{printable(source)}: class '{unknown[0]}' is none of the model's {len(places)} "
            f"({', '.join(list(places)[:8])})"
        )
    raw.labels = np.array([places[name] for name in raw.classes], np.int64)[raw.labels]
    raw.classes = list(classes)


def _drop(raw, pixels, reasons):
    keep = np.ones(len(raw.labels), bool)
    keep[list(reasons)] = False
    raw.skipped += [(printable(raw.files[row]), reason) for row, reason in reasons.items()]
    raw.labels, raw.given = raw.labels[keep], raw.given[keep]
    raw.digests = [digest for digest, kept in zip(raw.digests, keep, strict=True) if kept]
    raw.files = [file for file, kept in zip(raw.files, keep, strict=True) if kept]
    return pixels[keep]


def _check_skipped(raw, source, strict):
    count, total = len(raw.skipped), len(raw.skipped) + len(raw.labels)
    if count and (strict or count > SKIPPED_LIMIT * total):
        first = "\n".join(f"{name}: {reason}" for name, reason in raw.skipped[:5])
        limit = "none is allowed with strict" if strict else f"at most {SKIPPED_LIMIT:.0%} may be"
        raise DataError(
            f"{printable(source)}: {count} of {total} files cannot be used, {limit}; first {raw.skipped[0][0]}: "
            f"{raw.skipped[0][1]}",
            hint=first,
        )


def _check_train(raw, parts, source, like):
    counts = np.bincount(raw.labels[parts == TRAIN], minlength=len(raw.classes))
    if like is None and not counts.all():
        raise DataError(
            f"{printable(source)}: class '{raw.classes[int(counts.argmin())]}' has no readable images in train"
        )


def _part(raw, pixels, mine, preprocessing):
    return Part(pixels[mine], raw.labels[mine], [raw.files[row] for row in np.flatnonzero(mine)], preprocessing)


def _summary(raw, made, source, size):
    """Plain numbers for the screen and for run.json; sizes are (height, width)."""
    counts = np.bincount(raw.labels, minlength=len(raw.classes))
    notes = list(raw.notes)
    if raw.skipped:
        notes.append(f"{len(raw.skipped)} unreadable file{'s' * (len(raw.skipped) > 1)} skipped")
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[many] > IMBALANCE * counts[few]:
        notes.append(f"'{raw.classes[few]}' has {counts[few]} images, '{raw.classes[many]}' {counts[many]}")
    by_area = raw.sizes[np.argsort(raw.sizes.prod(axis=1), kind="stable")]
    return {
        "source": printable(source),
        "images": len(raw.labels),
        "per_class": dict(zip(raw.classes, counts.tolist(), strict=True)),
        "parts": {part: len(one) for part, one in zip(PARTS, made, strict=True)},
        "mode": "gray" if raw.channels == 1 else "RGB",
        "sizes": [tuple(by_area[0].tolist()), tuple(by_area[-1].tolist())],
        "size": tuple(size),
        "notes": notes,
    }
