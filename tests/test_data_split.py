"""The split rule: thresholds on SHA-256, class by class, stable, never a class without images in a part."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data.split import TEST, TRAIN, VAL, assign, position, shares
from minicnn.errors import DataError, UsageError


def digest(value):
    return hashlib.sha256(str(value).encode()).digest()


def digest_at(u):
    """A digest whose position is u."""
    return int(u * 2**256).to_bytes(32, "big")


def parts_of(digests, labels=None, given_parts=None, split=(80, 10, 10)):
    labels = np.zeros(len(digests), np.int64) if labels is None else np.asarray(labels)
    given_parts = np.full(len(digests), TRAIN, np.int8) if given_parts is None else given_parts
    return assign(digests, labels, given_parts, [f"c{n}" for n in range(labels.max() + 1)], split).tolist()


def test_position_is_the_digest_as_a_fraction():
    assert position(bytes(32)) == 0
    assert position(b"\x80" + bytes(31)) == 0.5
    assert position(b"\x19" + bytes(31)) == 25 / 256


def test_thresholds():
    positions = [0.0, 0.05, 0.0999, 0.1001, 0.15, 0.1999, 0.2001, 0.5, 0.999]
    assert parts_of([digest_at(u) for u in positions]) == [TEST] * 3 + [VAL] * 3 + [TRAIN] * 3


def test_counts_are_near_the_shares():
    parts = np.array(parts_of([digest(n) for n in range(20_000)], split=(70, 20, 10)))
    assert np.bincount(parts) == pytest.approx([14_000, 4_000, 2_000], rel=0.05)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([0.5, 0.9, 0.7], [TEST, TRAIN, VAL]),  # all train by threshold: the lowest to test, the next to val
        ([0.01, 0.03, 0.02], [TEST, TRAIN, VAL]),  # all test by threshold: the highest back to train
        ([0.12, 0.11, 0.13, 0.14], [VAL, TEST, VAL, TRAIN]),
        ([0.05, 0.3, 0.4], [TEST, VAL, TRAIN]),
        ([0.15, 0.3, 0.4], [TEST, VAL, TRAIN]),
        ([0.3, 0.3, 0.4, 0.5], [TEST, TEST, VAL, TRAIN]),  # equal files move together
    ],
)
def test_a_class_fills_every_part(positions, expected):
    assert parts_of([digest_at(u) for u in positions]) == expected


def test_the_rule_is_applied_class_by_class():
    one, two = [0.05, 0.15, 0.9], [0.3, 0.6, 0.8]
    parts = parts_of([digest_at(u) for u in one + two], [0, 0, 0, 1, 1, 1])
    assert parts == [TEST, VAL, TRAIN, TEST, VAL, TRAIN]


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=60),
    st.sampled_from([(80, 10, 10), (50, 25, 25), (90, 0, 10), (100, 0, 0)]),
)
def test_properties(values, split):
    values += [100, 101, 102]  # enough different ones
    parts = parts_of([digest(v) for v in values], split=split)
    by_value = {}
    for value, part in zip(values, parts, strict=True):
        assert by_value.setdefault(value, part) == part  # equal files land together
    assert set(parts) == {part for part, share in enumerate(split) if share}
    order = np.random.default_rng(len(values)).permutation(len(values))
    assert parts_of([digest(values[i]) for i in order], split=split) == [parts[i] for i in order]


def test_stable_when_files_are_added():
    many = [digest(n) for n in range(3_000)]
    before, after = parts_of(many[:1_000]), parts_of(many)
    assert after[:1_000] == before


def test_given_parts_stay_and_missing_ones_come_out_of_train():
    given_parts = np.array([TRAIN] * 500 + [TEST] * 50, np.int8)
    parts = np.array(parts_of([digest(n) for n in range(550)], given_parts=given_parts))
    assert (parts[500:] == TEST).all()
    assert not (parts[:500] == TEST).any()
    expected = [VAL if position(digest(n)) < 0.1 else TRAIN for n in range(500)]
    assert parts[:500].tolist() == expected
    given_parts[:50] = VAL
    assert parts_of([digest(n) for n in range(550)], given_parts=given_parts) == given_parts.tolist()


@pytest.mark.parametrize(("count", "split", "needs"), [(2, (80, 10, 10), 3), (1, (90, 10, 0), 2)])
def test_too_few_different_images(count, split, needs):
    with pytest.raises(DataError, match=rf"class 'c0' has {count} different images?; it needs at least {needs}"):
        parts_of([digest(n) for n in range(count)] * 2, split=split)


def test_shares():
    assert shares((80, 10, 10)) == shares("80,10,10") == (80, 10, 10)
    assert shares("100,0,0") == (100, 0, 0)


@pytest.mark.parametrize("split", ["80,10", "80,10,20", "0,50,50", "a,b,c", (120, -10, -10), 5, "80,10,nan", None])
def test_shares_refused(split):
    with pytest.raises(UsageError, match="add up to 100, as in 80,10,10"):
        shares(split)
