"""Data: one folder per class, IDX, .npz, or the names digits and shapes; split, decoded and standardised in one place.

    loading.py   load: from a name or path to a Dataset           formats.py   FORMATS, the one list; "did you mean"
    dataset.py   Source, Part, Dataset, the fingerprint           split.py     which picture belongs to which part
    prepare.py   the one preprocessing, for all verbs             pixels.py    arrays of pictures
    picture.py   one picture file                                 listing.py   the files of a folder
    arrays.py    labelled arrays, memory budget                   names.py     names as they may be printed
    folder.py  idx.py  npz.py  digits.py  drawing.py              one format each
"""

from .dataset import Dataset, Part, Source
from .formats import FORMATS, Format, suggestion
from .loading import load, shapes
from .prepare import check_preprocessing, prepare
from .split import PARTS

__all__ = [
    "FORMATS",
    "PARTS",
    "Dataset",
    "Format",
    "Part",
    "Source",
    "check_preprocessing",
    "load",
    "prepare",
    "shapes",
    "suggestion",
]
