"""A folder of picture files: one folder per class, or train/val/test that each hold one folder per class.

    photos/ant/1.jpg  photos/bee/1.jpg              photos/train/ant/1.jpg  photos/test/ant/1.jpg

Folders inside a class folder belong to that class. First every file's header and SHA-256 are read, then, when size and
channels are known, the pixels: both by threads, in the order of the list. A file that cannot be read is listed.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..errors import DataError, EnvironmentProblem
from ..machine import usable_cores
from . import picture
from .arrays import part_number
from .dataset import Source
from .listing import Listing, loose_pictures
from .names import class_name, class_order, printable
from .split import PARTS, TRAIN

DEFAULT_SIDE = 48
HUGE_PIXELS = 13_000_000  # more than the 12 million of most telephones' photos


def detects(path) -> bool:
    """True for every folder; the formats with files of their own look first."""
    return os.path.isdir(path)


def read(path):
    """The Source of a folder. Raises DataError, EnvironmentProblem when the folder cannot be listed."""
    root = os.fspath(path)
    try:
        listing = Listing()
        listing.seen.add(_inode(root))
        found = _layout(root, listing)
    except PermissionError as error:
        raise EnvironmentProblem(f"{printable(error.filename)}: permission denied") from None
    except OSError as error:
        raise DataError(f"{printable(path)}: {error.strerror}") from None
    _check_classes(root, found)
    return _source(root, found, listing)


def _inode(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _layout(root, listing):
    """[(part, class name, [paths])], train first."""
    names = listing.folders(root)
    parts = {name: part_number(name) for name in names}
    if TRAIN in parts.values() and None not in parts.values():
        if len(set(parts.values())) < len(parts):
            raise DataError(f"{_shown(root)} has two folders for the same part: {', '.join(sorted(names))}")
    else:
        parts = {"": TRAIN}
    found = []
    for name in sorted(parts, key=parts.get):
        base = os.path.join(root, name) if name else root
        folders = listing.folders(base) if name else names
        loose = loose_pictures(base)
        if not folders:
            _refuse_no_classes(base, loose)
        listing.skipped += [(os.path.join(base, file), "in no class folder") for file in loose]
        shown = _class_names(root, folders)
        for folder in class_order(folders):
            found.append((parts[name], shown[folder], listing.pictures(os.path.join(base, folder))))
    return found


def _class_names(root, folders):
    shown = {folder: class_name(folder) for folder in folders}
    if len(set(shown.values())) < len(shown):
        twice = next(name for name in shown.values() if list(shown.values()).count(name) > 1)
        raise DataError(f"{_shown(root)} has two class folders that read '{twice}', spelled with other characters")
    return shown


def _refuse_no_classes(base, loose):
    shown = _shown(base)
    if not loose:
        raise DataError(f"{shown} has no images and no class folders.", hint=_tree(shown))
    noun = "image" if len(loose) == 1 else "images"
    raise DataError(
        f"{shown} has {len(loose)} {noun} but no class folders. Put each class in its own folder.", hint=_tree(shown)
    )


def _tree(shown):
    return f"{shown}\n    ant/  1.jpg  2.jpg  ...\n    bee/  1.jpg  2.jpg  ...\n    wasp/ 1.jpg  2.jpg  ..."


def _shown(path):
    return printable(path).rstrip("/") + "/"


def _check_classes(root, found):
    classes = [name for part, name, _ in found if part == TRAIN]
    for part, name, paths in found:
        if name not in classes:
            raise DataError(f"{_shown(root)}: class '{name}' ({len(paths)} files) is in {PARTS[part]} but not in train")
        if not paths and part == TRAIN:
            counts = ", ".join(f"{other} {len(files)}" for at, other, files in found[:8] if at == TRAIN)
            raise DataError(f"{_shown(root)}: class folder '{name}' has no images ({counts}); fill it or remove it")


def _source(root, found, listing):
    rows = [(path, part, name) for part, name, paths in found for path in paths]
    headers = in_parallel(_inspect, [path for path, _, _ in rows])
    skipped = listing.skipped
    good = []
    for row, header in zip(rows, headers, strict=True):
        if isinstance(header, str):
            skipped.append((row[0], header))
        else:
            good.append((*row, header))
    skipped = [(printable(os.path.relpath(path, root)), reason) for path, reason in skipped]
    if not good:
        raise DataError(f"{_shown(root)} has no image that can be read; of {len(skipped)} the first: {skipped[0]}")
    classes = [name for part, name, _ in found if part == TRAIN]
    headers = [row[3] for row in good]
    sizes = np.unique([header.size for header in headers], axis=0)
    side = min(DEFAULT_SIDE, int(np.median([min(header.size) for header in headers])))
    paths = [row[0] for row in good]
    animated = sum(header.animated for header in headers)
    return Source(
        labels=np.array([classes.index(row[2]) for row in good], np.int64),
        given=np.array([row[1] for row in good], np.int8),
        digests=[header.digest for header in headers],
        files=[os.path.relpath(path, root) for path in paths],
        classes=classes,
        sizes=sizes,
        decode=partial(_decode, paths, np.array([header.size[0] * header.size[1] for header in headers])),
        size=(side, side),
        channels=1 if all(header.gray for header in headers) else 3,
        skipped=skipped,
        notes=[f"{animated} animated pictures: only the first frame of each is used"] if animated else [],
    )


def _inspect(path):
    try:
        return picture.inspect(path)
    except picture.Unreadable as reason:
        return str(reason)


def _decode(paths, areas, size, channels):
    """Pixels (N, *size, channels) uint8 and {row: reason} of the files that are damaged (their rows are zero)."""
    pixels = np.zeros((len(paths), *size, channels), np.uint8)

    def read_row(row):
        try:
            pixels[row] = picture.read(paths[row], size, channels)
        except picture.Unreadable as reason:
            return str(reason)

    # Every thread's heap keeps what its largest picture took, so the huge ones share one thread: here.
    huge = areas > HUGE_PIXELS
    reasons = dict(zip(np.flatnonzero(~huge).tolist(), in_parallel(read_row, np.flatnonzero(~huge)), strict=True))
    with picture.quiet_pillow():
        reasons |= {row: read_row(row) for row in np.flatnonzero(huge).tolist()}
    return pixels, {row: reason for row, reason in sorted(reasons.items()) if reason}


def in_parallel(function, items) -> list:
    """[function(item) for item in items] on one thread per usable core; decoding and hashing leave Python's lock."""
    with picture.quiet_pillow(), ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(function, items))
