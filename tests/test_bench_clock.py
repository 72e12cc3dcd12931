"""The clock's rounds, the roof, and a document of one problem; nothing here asserts how long something takes."""
import gc
import json
import threading

import numpy as np
import pytest

import minicnn as mc
from minicnn.errors import DataError, UsageError
from minicnn.kernels import function
from minicnn.lab import clock, comparison, contenders, measure, problems, report, roof, torch_peer

PROBLEM = problems.parse("mb4ic3ih6oc5kh3ph1", "conv2d_forward")
QUICK = measure.Settings(1, 0.001)


@pytest.fixture(autouse=True)
def known_roof(monkeypatch):
    """100 GFLOP/s and 20 GB/s; measuring the real one takes half a second."""
    monkeypatch.setattr(roof, "measure", lambda threads=1: (100.0, 20.0))


def recorder(log, name):
    return lambda: log.append(name)


def test_rounds_are_interleaved():
    log = []
    times = clock.run([recorder(log, "a"), recorder(log, "b")], 0.01, flush=lambda: None, first=[1e-3, 1e-3])
    assert log == ["a", "b"] * 10 and times[0].rounds == list(range(10)) and len(times[1].samples) == 10


def test_a_slow_contender_takes_part_in_fewer_rounds_spread_over_all():
    log = []
    _, slow = clock.run([recorder(log, "a"), recorder(log, "slow")], 0.1, flush=lambda: None, first=[5e-3, 2e-2])
    assert log.count("a") == 20 and slow.rounds == [3, 7, 11, 15, 19]
    _, slower = clock.run([recorder(log, "a"), recorder(log, "slow")], 0.1, flush=lambda: None, first=[5e-3, 9.0])
    assert len(slower.samples) == 1


def test_a_sample_of_a_quick_call_is_many_calls():
    log = []
    times, = clock.run([recorder(log, "a")], 0.01, first=[1e-5])
    assert times.calls == 100 and len(log) == 101 * len(times.samples)       # one call before each sample warms the caches


def test_cold_samples_are_single_calls_behind_a_flush():
    log = []
    clock.run([recorder(log, "a"), recorder(log, "b")], 0.002, flush=recorder(log, "flush"), first=[1e-3, 1e-3])
    assert log == ["flush", "a", "flush", "b"] * 3


def test_pairs_are_the_rounds_in_which_both_ran():
    a, b = clock.Times(1, [1.0, 2.0, 3.0], [0, 1, 2]), clock.Times(1, [5.0, 6.0], [1, 2])
    assert clock.paired(a, b) == ([2.0, 3.0], [5.0, 6.0])


def test_the_collector_of_garbage_is_off_while_timing_and_on_again_after_an_error():
    seen = []
    with pytest.raises(ZeroDivisionError), clock.quiet():
        seen.append(gc.isenabled())
        raise ZeroDivisionError
    assert seen == [False] and gc.isenabled()


def test_waiting_for_threads_that_spin():
    stop = threading.Event()
    log = []

    def spin():
        while not stop.is_set():
            pass
        log.append("stopped")

    threading.Thread(target=spin).start()
    threading.Timer(0.05, stop.set).start()
    clock.wait_until_idle()
    assert log == ["stopped"]


def test_the_flusher_runs_on_all_threads():
    clock.flusher(2)()


def test_the_roof_is_measured_as_positive_numbers(monkeypatch):
    monkeypatch.setattr(roof, "SECONDS", 1e-3)
    monkeypatch.setattr(roof, "LARGEST_COPY", 1 << 16)
    assert roof.peak(2) > 0 and roof.bandwidth(2) > 0 and roof.last_cache() > 1 << 15


def test_a_document_has_what_it_promises():
    own = contenders.Own("mine", function("reference", "conv2d_forward"))
    entry = measure.measure(PROBLEM, contenders.ordered(("reference", "cpu", "cuda"), PROBLEM, [own]), QUICK)
    rows = {row["who"]: row for row in entry["rows"]}
    assert {who: row["verdict"] for who, row in rows.items()} == {
        "reference": "oracle", "cpu": "ok", "cuda": "absent", "mine": "ok"}
    cpu = rows["cpu"]
    assert cpu["median"] == np.median(cpu["samples"]) and cpu["p20"] <= cpu["median"] <= cpu["p80"] and cpu["threads"] == 1
    assert cpu["gflops"] == pytest.approx(entry["flops"] / cpu["median"] / 1e9) and cpu["versus_cpu"] == 1.0
    assert cpu["of_roof"] == pytest.approx(cpu["gflops"] / min(100, 20 * entry["intensity"]))
    assert rows["mine"]["comparison"] in ("SAME", "FASTER", "SLOWER", "UNCLEAR") and rows["cuda"]["median"] is None
    assert all(row.keys() == cpu.keys() for row in entry["rows"])
    text = "\n".join(report.lines(entry))
    assert "conv2d_forward mb4ic3ih6oc5kh3ph1: 3.89e-05 GFLOP" in text and "this minicnn has no cuda kernels" in text


def test_a_wrong_kernel_has_no_time():
    def wrong(x, y):
        y[...] = 1
    found = mc.bench("relu_forward", wrong, shapes="mb2ic3ih4", against=["cpu"], threads=1, seconds=0.001)
    row = found.document()["problems"][0]["rows"][1]
    assert row["verdict"] == "wrong" and row["median"] is None and row["samples"] == [] and row["gflops"] is None
    assert found.wrong == ["wrong (relu_forward mb2ic3ih4)"] and "no timing: the result is wrong" in str(found)


def test_a_call_that_takes_too_long_is_not_timed(monkeypatch):
    monkeypatch.setattr(measure, "LONGEST", 0.0)
    entry = measure.measure(PROBLEM, contenders.ordered(("reference", "cpu"), PROBLEM, []), QUICK)
    assert entry["rows"][1]["median"] is None and "not timed: one call takes about" in entry["rows"][1]["why"]
    assert "not timed" in "\n".join(report.lines(entry))


def test_a_problem_larger_than_memory_is_refused():
    with pytest.raises(UsageError, match="needs about .* GB"):
        measure.check_memory(problems.parse("mb99999999ic64ih224oc64kh3", "conv2d_forward"))


@pytest.mark.skipif(torch_peer.version() is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("kernel, text", [
    ("conv2d_backward_weight", "mb3ic4ih7oc5kh3sh2ph1"), ("maxpool2d_backward", "mb3ic4ih7kh3sh2ph1"),
    ("dense_backward_weight", "mb3ic4oc5"), ("softmax_cross_entropy_forward", "mb5ic7")])
def test_pytorch_is_judged_too(kernel, text):
    problem = problems.parse(text, kernel)
    rows = measure.measure(problem, contenders.ordered(("torch",), problem, []), QUICK)["rows"]
    assert rows[0]["verdict"] == "ok" and rows[0]["median"] > 0


def test_what_pytorch_cannot_do_is_said(monkeypatch):
    monkeypatch.setattr(torch_peer, "version", lambda: "2.13.0")
    assert torch_peer.absent(problems.parse("ic64", "sgd_update")) == "torch has no operation that does just this"
    assert torch_peer.absent(problems.parse("ic3ih8oc4oh8kh2ph0", "conv2d_forward")) == "torch pads alike on both sides"
    monkeypatch.setattr(torch_peer, "version", lambda: None)
    assert torch_peer.absent(PROBLEM) == "torch is not installed"


def test_unknown_contenders_are_refused():
    with pytest.raises(UsageError, match="no contender 'gpu'"):
        contenders.check_names(["cpu", "gpu"])


def test_an_earlier_document(tmp_path):
    found = mc.bench("relu_forward", shapes="mb2ic3ih4", against=["cpu"], threads=1, seconds=0.02).document()
    path = tmp_path / "old.json"
    slower = json.loads(json.dumps(found))
    row = slower["problems"][0]["rows"][0]
    row["samples"] = [2 * sample for sample in row["samples"]]
    path.write_text(json.dumps(slower))
    earlier = comparison.read(str(path))
    entry = found["problems"][0]
    assert comparison.lines(entry, False, earlier)[1] == "  cpu: 0.50 times the earlier time: FASTER"
    assert "not to be compared" in comparison.lines(entry, True, earlier)[1]
    assert "nothing in" in comparison.lines(entry | {"problem": "mb3"}, False, earlier)[0]


@pytest.mark.parametrize("text", ["[]", "{}", '{"problems": 3}', '{"problems": [{"kernel": 1, "problem": 2, "rows": [3]}]}'])
def test_a_document_of_something_else(tmp_path, text):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(DataError, match="is not a file that minicnn bench --save wrote"):
        comparison.read(str(path))


@pytest.mark.parametrize("seconds, text", [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.1e-3, "4.10 ms"), (3.9e-5, "39.0 us")])
def test_durations(seconds, text):
    assert report.duration(seconds) == text
    assert report.spread(seconds, seconds, seconds) == f"{text.split()[0]}-{text.split()[0]}"
