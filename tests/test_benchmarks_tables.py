"""benchmarks/tables.py: which result is taken, what a table shows, that the rest of the page stays."""

import json

import benchmark_modules
import pytest

from minicnn import machine

modules = pytest.fixture(benchmark_modules.imported)
PAGE = ("before\n<!-- table: train-vs-torch -->\nold\n<!-- end of table -->\nbetween\n"
        "<!-- table: peers -->\n<!-- end of table -->\nafter\n")


@pytest.fixture
def tables(modules):
    return modules("tables")


def rate(median):
    return {"median": median, "p20": median, "p80": median, "rounds": [median], "steps": 1}


def result(**more):
    return {"row": "lenet, batch 128", "rates": {"minicnn": rate(1234.5), "torch": rate(12.34)}, "ratio": 2.004, "target": 2.5,
            "disagreement": 1e-6} | more


def document(*results, **more):
    return {"date": "2026-11-25", "script": "train_vs_torch", "cpu": "A CPU", "vector_units": ["avx2"], "cores": 2,
            "load_before": 0.25, "versions": machine.versions() | {"torch": "2.13.0"}, "threads": 2, "rounds": 7, "seconds": 2.0,
            "results": list(results)} | more


def kept(folder, name, found):
    (folder / name).write_text(json.dumps(found))


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]


def test_only_what_stands_between_the_markers_changes(tables, tmp_path):
    kept(tmp_path, "2026-11-25-train-vs-torch.json", document(result()))
    text = tables.rewritten(PAGE, tmp_path)
    assert text.startswith("before\n<!-- table: train-vs-torch -->\n2026-11-25. A CPU, 2 cores (avx2), load before 0.25.")
    assert "old" not in text and "torch 2.13.0" in text and "`results/2026-11-25-train-vs-torch.json`" in text
    assert text.endswith("\nbetween\n<!-- table: peers -->\nNot measured yet.\n<!-- end of table -->\nafter\n")
    assert tables.rewritten(text, tmp_path) == text


def test_the_newest_result_is_taken(tables, tmp_path):
    for day, ratio in (("2026-09-30", 1.0), ("2026-11-02", 3.0), ("2026-10-31", 2.0)):
        kept(tmp_path, f"{day}-train-vs-torch.json", document(result(ratio=ratio)))
    kept(tmp_path, "2026-12-01-own-train-vs-torch.json", document(result(ratio=9.0)))
    assert tables.newest(tmp_path, "train-vs-torch")["results"][0]["ratio"] == 3.0


def test_a_target_that_is_missed_is_bold_and_counted(tables, tmp_path):
    found = document(result(), result(row="mnist", ratio=2.5), result(row="no target", target=None), file="f.json")
    text = tables.table(found, "images per second")
    assert rows(text) == [["images per second", "minicnn", "torch", "ratio", "target"],
                          ["lenet, batch 128", "1,234", "12.3", "**2.00**", "2.5"],
                          ["mnist", "1,234", "12.3", "2.50", "2.5"], ["no target", "1,234", "12.3", "2.00", "–"]]
    assert text.endswith("\n1 of 2 rows reach their target (at least).\n")


def test_where_less_is_better(tables):
    found = document(result(ratio=0.9, target=1.0, less_is_better=True), result(ratio=1.1, target=1.0, less_is_better=True),
                     file="f.json", seconds=None)
    text = tables.table(found, "MB")
    assert [row[3] for row in rows(text)[1:]] == ["0.90", "**1.10**"] and "1 of 2 rows reach their target (at most)." in text


def test_scaling_has_a_target_of_its_own(tables):
    found = document(result(scaling=1.6, scaling_target=1.7, scaling_of_processes=1.85),
                     result(scaling=1.9, scaling_target=None), file="f.json")
    assert [row[-3:] for row in rows(tables.table(found, "images"))] == [
        ["2 threads to 1", "target", "2 processes to 1"], ["**1.60**", "1.7", "1.85"], ["1.90", "–", "–"]]


def test_what_was_left_out_is_named(tables):
    alone = result(rates={"minicnn": rate(5.0)}, ratio=None, target=None, left_out={"torch": "is not installed"})
    text = tables.table(document(result(target=None), alone, file="f.json"), "images")
    assert rows(text)[2] == ["lenet, batch 128", "5.0", "–", "–", "–"]
    assert "lenet, batch 128: torch is not installed." in text and "reach" not in text


@pytest.mark.parametrize("page, complaint", [
    ("<!-- table: alexnet -->\n<!-- end of table -->\n", "no script writes a table 'alexnet'"),
    ("<!-- table: peers -->\nno end\n", "has no <!-- end of table -->"),
    ("<!-- table: peers -->\n<!-- table: roof-share -->\n<!-- end of table -->\n", "has no <!-- end of table -->")])
def test_a_page_that_does_not_fit_stays_as_it_is(tables, tmp_path, capsys, page, complaint):
    readme = tmp_path / "README.md"
    readme.write_text(page)
    assert tables.main(readme, tmp_path) == 1
    assert readme.read_text() == page and complaint in capsys.readouterr().err


def test_the_page_of_the_project_is_what_its_results_say(tables):
    """Every script has a table there; writing them again changes nothing."""
    text = (benchmark_modules.BENCHMARKS / "README.md").read_text("utf-8")
    assert {name for _, name, _, _ in tables.MARKED.findall(text)} == tables.UNITS.keys()
    assert tables.rewritten(text, benchmark_modules.BENCHMARKS / "results") == text
