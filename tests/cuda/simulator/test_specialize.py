"""Constants into a template: what is left of it, and what is refused."""
import linecache

import pytest

from minicnn.kernels.cuda_support.specialize import specialize, unroll


def text(function):
    return "".join(linecache.cache[function.__code__.co_filename][2])


def sums(x):
    total = 0
    for k in unroll(N):
        if k % 2 == 0 and N > 1:
            total += x[k * 2 + 1]
        elif BIG or x[k] > LIMIT:
            total -= x[k]
        else:
            total = 0
    return EACH(total) if not BIG else -total


def test_numbers_branches_and_loops():
    function = specialize(sums, "sums_3", N=3, BIG=True, LIMIT=5, EACH=abs)
    assert text(function) == "\n".join([
        "def sums_3(x):", "    total = 0", "    total += x[1]", "    total -= x[1]", "    total += x[5]", "    return -total"])
    assert function([1, 2, 3, 4, 5, 6]) == -(2 - 2 + 6) and function.__name__ == "sums_3"


def test_what_is_not_known_stays():
    function = specialize(sums, N=2, BIG=False, LIMIT=5, EACH=abs)
    assert "if x[1] > 5:" in text(function) and "return EACH(total)" in text(function)
    assert function([1, 9, 3, 4]) == 0 and function([1, 2, 3, 4]) == 0 and function([0, 9]) == 0


def joined(a):
    if (YES or a) and a > ZERO:
        return 1
    if NO and a:
        return 2
    for i in range(N + 1):
        if NO:
            a += i
    return a if N >> 1 else -a


def test_truth_that_is_known_in_part():
    function = specialize(joined, YES=True, NO=False, ZERO=0, N=2)
    assert text(function).splitlines()[1:] == ["    if a > 0:", "        return 1", "    for i in range(3):", "        pass",
                                               "    return a"]
    assert function(4) == 1 and function(-4) == -4


def test_the_module_of_the_template_is_the_module_of_the_function():
    assert specialize(joined, N=1, YES=True, NO=True, ZERO=0).__globals__ is globals()
    assert specialize(sums, EACH=len, N=1, BIG=False, LIMIT=0).__globals__["EACH"] is len and "EACH" not in globals()


def assigns(x):
    N = x
    return N


def unrolls(x):
    for _ in unroll(x):
        pass


def test_refused():
    with pytest.raises(ValueError, match="assigns line 2: assigns to N, which is a constant"):
        specialize(assigns, N=1)
    with pytest.raises(ValueError, match=r"unroll\(x\) needs a number"):
        specialize(unrolls)
    with pytest.raises(ValueError, match="sums: no value for BIG, LIMIT"):
        specialize(sums, N=3, EACH=abs)


def test_a_traceback_shows_the_line_that_is_left():
    with pytest.raises(IndexError) as caught:
        specialize(sums, N=3, BIG=False, LIMIT=5, EACH=abs)([0, 1])
    assert str(caught.traceback[-1].statement).strip() == "total += x[5]"
