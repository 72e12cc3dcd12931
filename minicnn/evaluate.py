"""How good a classifier is on one part of a data set, and how sure that can be said.

For class k, with TP, FP, FN counted on n images:

    precision = TP / (TP + FP)        of the images called k, how many are k
    recall    = TP / (TP + FN)        of the images that are k, how many were found
    F1        = 2 TP / (2 TP + FP + FN)

Macro F1 is the mean of F1 over the classes that occur among the labels or the answers. Precision, recall and accuracy
carry the Wilson score interval (Wilson 1927; Brown, Cai, DasGupta 2001) of a share p = hits / n, which is sound for
small n and near 0 and 1:

    (p + z^2/2n  ±  z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),    z = 1.96 for 95 %

The baseline is the accuracy of always giving the most frequent label. The calibration error (Naeini et al. 2015)
compares confidence with accuracy in 15 equal bins of confidence: sum over bins of share * |mean confidence - accuracy|.
"""

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
FEW = 10  # below this many images of a class, its row asks to be read with care
BINS = 15


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the share hits / n; (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, Z95 * Z95
    centre = share + z2 / (2 * n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z2 / n)), min(1.0, (centre + half) / (1 + z2 / n))


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) int64: row = label, column = answer."""
    return np.bincount(labels * classes + answers, minlength=classes * classes).reshape(classes, classes)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error of (N, classes) probabilities, 0 for a net that is as right as it is sure."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gap).sum() / len(labels))


@dataclass(frozen=True)
class ClassScore:
    """One row of the sheet; precision is None when no image was called so, recall when there is none."""

    name: str
    n: int
    precision: float | None
    precision_interval: tuple[float, float]
    recall: float | None
    recall_interval: tuple[float, float]
    f1: float | None


@dataclass(frozen=True)
class Sheet:
    """What `Run.evaluate` gives and `minicnn evaluate` prints. confusion: (classes, classes), row = label, column =
    answer.
    """

    part: str
    classes: list[str]
    confusion: np.ndarray
    calibration_error: float
    opening: int = 0  # how often this run has opened the test part, this time included; 0 for the other parts

    @property
    def n(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion)) / self.n

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        return wilson(int(np.trace(self.confusion)), self.n)

    @property
    def per_class(self) -> list[ClassScore]:
        rows = []
        for k, name in enumerate(self.classes):
            hits = int(self.confusion[k, k])
            said, n = int(self.confusion[:, k].sum()), int(self.confusion[k].sum())
            rows.append(
                ClassScore(
                    name,
                    n,
                    hits / said if said else None,
                    wilson(hits, said),
                    hits / n if n else None,
                    wilson(hits, n),
                    2 * hits / (said + n) if said + n else None,
                )
            )
        return rows

    @property
    def macro_f1(self) -> float:
        return float(np.mean([row.f1 for row in self.per_class if row.f1 is not None]))

    @property
    def baseline(self) -> tuple[str, float]:
        """(class, accuracy) of always giving the most frequent label."""
        counts = self.confusion.sum(axis=1)
        return self.classes[int(counts.argmax())], float(counts.max()) / self.n

    def most_confused(self, most: int = 3) -> list[tuple[str, str, int]]:
        """(label, answer, count) of the commonest mistakes, most frequent first."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(int(at) // len(self.classes), int(at) % len(self.classes)) for at in order]
        return [(self.classes[a], self.classes[b], int(wrong[a, b])) for a, b in pairs if wrong[a, b]]

    def as_dict(self) -> dict:
        """Plain numbers, lists and texts, for JSON."""
        name, share = self.baseline
        return {
            "part": self.part,
            "images": self.n,
            "opening": self.opening,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "macro_f1": self.macro_f1,
            "baseline": {"class": name, "accuracy": share},
            "calibration_error": self.calibration_error,
            "per_class": [
                {
                    "class": row.name,
                    "images": row.n,
                    "precision": row.precision,
                    "precision_interval": list(row.precision_interval),
                    "recall": row.recall,
                    "recall_interval": list(row.recall_interval),
                    "f1": row.f1,
                }
                for row in self.per_class
            ],
            "most_confused": [list(pair) for pair in self.most_confused()],
            "classes": self.classes,
            "confusion_matrix": self.confusion.tolist(),
        }

    def __str__(self) -> str:
        """The sheet as lines of text."""
        seen = f", seen for the {ordinal(self.opening)} time" if self.opening else ""
        width = max([len(name) for name in self.classes] + [5])
        lines = [
            f"{self.part}, {self.n} images{seen}",
            f"{'class':<{width}}  {'precision':<17} {'recall':<17} {'f1':>5} {'n':>6}",
        ]
        for row in self.per_class:
            care = "   few images: read with care" if row.n < FEW else ""
            precision = _share(row.precision, row.precision_interval)
            recall = _share(row.recall, row.recall_interval)
            f1 = "-" if row.f1 is None else f"{row.f1:.2f}"
            lines.append(f"{row.name:<{width}}  {precision:<17} {recall:<17} {f1:>5} {row.n:>6}{care}")
        lines.append(
            f"accuracy {self.accuracy:.3f} (95% {self.accuracy_interval[0]:.3f} to {self.accuracy_interval[1]:.3f})"
            f"   macro F1 {self.macro_f1:.3f}   baseline {self.baseline[1]:.3f}"
            f"   calibration error {self.calibration_error:.3f}"
        )
        if pairs := self.most_confused():
            lines.append("most confused: " + ", ".join(f"{label} -> {answer} {count}" for label, answer, count in pairs))
        return "\n".join(lines)


def _share(value, interval) -> str:
    if value is None:
        return "-"
    low, high = (f"{end:.2f}".removeprefix("0") for end in interval)
    return f"{value:.2f} ({low}-{high})"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st ..."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def score(probabilities: np.ndarray, labels: np.ndarray, classes: list[str], part: str, opening: int = 0) -> Sheet:
    """The sheet of (N, classes) probabilities against (N,) labels; N at least 1."""
    if len(labels) == 0:
        raise ValueError(f"the {part} part is empty: there is nothing to evaluate")
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    return Sheet(part, list(classes), confusion, calibration_error(probabilities, labels), opening)
