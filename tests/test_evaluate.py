"""The sheet's numbers, worked by hand and against the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.evaluate import Z95, Sheet, calibration_error, confusion_matrix, ordinal, score, wilson


def probabilities(answers, classes, confidence=0.9):
    """(N, classes): `confidence` for the answer, the rest shared."""
    p = np.full((len(answers), classes), (1 - confidence) / (classes - 1))
    p[np.arange(len(answers)), answers] = confidence
    return p


LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
ANSWERS = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 2])
SHEET = score(probabilities(ANSWERS, 3), LABELS, ["ant", "bee", "fly"], "test", opening=1)


def test_by_hand():
    """
    label  ant ant ant ant bee bee bee fly fly fly
    answer ant ant ant bee bee bee ant bee bee fly        ant 3 of 4 said, bee 2 of 5, fly 1 of 1
    """
    assert SHEET.confusion.tolist() == [[3, 1, 0], [1, 2, 0], [0, 2, 1]]
    assert SHEET.n == 10 and SHEET.accuracy == 0.6
    assert [row.precision for row in SHEET.per_class] == [3 / 4, 2 / 5, 1]
    assert [row.recall for row in SHEET.per_class] == [3 / 4, 2 / 3, 1 / 3]
    assert [row.f1 for row in SHEET.per_class] == [6 / 8, 4 / 8, 2 / 4]
    assert SHEET.macro_f1 == pytest.approx((6 / 8 + 4 / 8 + 2 / 4) / 3)
    assert SHEET.baseline == ("ant", 0.4)
    assert SHEET.most_confused() == [("fly", "bee", 2), ("ant", "bee", 1), ("bee", "ant", 1)]
    assert SHEET.calibration_error == pytest.approx(0.3)


def test_text():
    lines = str(SHEET).splitlines()
    assert lines[0] == "test, 10 images, seen for the 1st time"
    assert lines[2].split() == [
        "ant",
        "0.75",
        "(.30-.95)",
        "0.75",
        "(.30-.95)",
        "0.75",
        "4",
        *"few images: read with care".split(),
    ]
    assert lines[5].startswith("accuracy 0.600 (95% 0.313 to 0.832)   macro F1 0.583   baseline 0.400")
    assert lines[6] == "most confused: fly -> bee 2, ant -> bee 1, bee -> ant 1"


def test_document_is_plain():
    document = SHEET.as_dict()
    assert document["confusion_matrix"] == [[3, 1, 0], [1, 2, 0], [0, 2, 1]]
    assert document["per_class"][1]["class"] == "bee" and document["per_class"][1]["images"] == 3
    assert document["most_confused"][0] == ["fly", "bee", 2]


def test_a_class_that_never_occurs():
    """No label and no answer: no numbers, and no share in macro F1. Said but never there: precision 0."""
    sheet = score(probabilities(np.array([0, 0, 2]), 4), np.array([0, 1, 0]), list("abcd"), "val")
    a, b, c, d = sheet.per_class
    assert (a.precision, a.recall) == (1 / 2, 1 / 2)
    assert (b.precision, b.recall, b.f1) == (None, 0, 0)
    assert (c.precision, c.recall, c.f1) == (0, None, 0)
    assert (d.precision, d.recall, d.f1) == (None, None, None)
    assert sheet.macro_f1 == pytest.approx(0.5 / 3)
    assert "-" in str(sheet).splitlines()[5]


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match="the test part is empty"):
        score(np.empty((0, 2)), np.empty(0, int), ["a", "b"], "test")


@pytest.mark.parametrize(
    "hits, n, low, high",
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (81, 263, 0.25529, 0.36621), (0, 0, 0, 1)],
)
def test_wilson_interval(hits, n, low, high):
    """81 of 263 is the example of Newcombe 1998, table I, method 3: 0.2553 to 0.3662."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-6)


@given(st.integers(1, 500), st.data())
def test_wilson_ends_solve_the_score_equation(n, data):
    hits = data.draw(st.integers(0, n))
    for end in wilson(hits, n):
        assert abs(hits / n - end) <= Z95 * np.sqrt(end * (1 - end) / n) + 1e-9
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12 and hits / n - 1e-12 <= high <= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_against_counting_one_by_one(pairs):
    labels, answers = (np.array(column) for column in zip(*pairs, strict=True))
    sheet = Sheet("val", list("abcd"), confusion_matrix(labels, answers, 4), 0.0)
    assert sheet.accuracy == np.mean(labels == answers)
    for k, row in enumerate(sheet.per_class):
        said, there = answers == k, labels == k
        assert row.n == there.sum()
        assert row.precision == (np.mean(labels[said] == k) if said.any() else None)
        assert row.recall == (np.mean(answers[there] == k) if there.any() else None)


def test_calibration_error_by_hand():
    """Two images at 0.62 (bin 9), one right: gap 0.12. Two at 0.97 (bin 14), both right: gap 0.03. Mean: 0.075."""
    p = np.array([[0.62, 0.38], [0.62, 0.38], [0.03, 0.97], [0.03, 0.97]])
    assert calibration_error(p, np.array([0, 1, 1, 1])) == pytest.approx(0.075)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_ordinals():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip
