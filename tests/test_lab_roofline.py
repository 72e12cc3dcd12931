"""The roofline picture: what is in it, that names lie apart, that it names what is missing."""
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from lab_sample import document

from minicnn.errors import EnvironmentProblem, UsageError
from minicnn.lab import roofline
from minicnn.lab.roofline_labels import BELOW, SIDE, place

SVG = "{http" + "://www.w3.org/2000/svg}"


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib")


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_both_kinds_of_file_and_no_other(matplotlib, tmp_path):
    roofline.draw(document(), tmp_path / "a.png")
    roofline.draw(document(), tmp_path / "a.SVG")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ElementTree.parse(tmp_path / "a.SVG").getroot().tag == SVG + "svg"
    with pytest.raises(UsageError, match=r"\.svg or \.png, not a\.jpg"):
        roofline.draw(document(), tmp_path / "a.jpg")


def test_the_same_document_gives_the_same_picture(matplotlib):
    assert roofline.svg(document()) == roofline.svg(document())


def test_what_the_picture_says(matplotlib):
    said = texts(roofline.svg(document()))
    assert "AMD EPYC 7B13, 2 threads, 2025-11-25" in said
    assert {"96.2 GFLOP/s", "21.3 GB/s", "reference", "cpu", "mine.py:conv", "torch 2.13"} <= set(said)
    assert {"MNIST conv 1", "mb32ic16ih28oc32kh3ph1"} <= set(said) and "cuda" not in said
    assert any("8 of 35 rows have no speed" in text for text in said)


def test_one_problem_names_every_point(matplotlib):
    said = texts(roofline.svg(document(count=1)))
    assert {"cpu  56 GFLOP/s", "reference  0.31 GFLOP/s", "torch 2.13  73.4 GFLOP/s"} <= set(said)


def test_contenders_of_nearly_equal_speed_are_all_named(matplotlib):
    close = document(count=1)
    problem = close["problems"][0]
    problem["rows"] = [problem["rows"][1] | {"who": f"contender {k}", "gflops": 60 + 0.4 * k} for k in range(8)]
    said = texts(roofline.svg(close))
    assert {f"contender {k}  {60 + 0.4 * k:.3g} GFLOP/s" for k in range(8)} <= set(said)


def test_many_problems_are_numbered_with_a_key(matplotlib):
    many = document()
    many["problems"] = [problem | {"label": f"layer {k}", "intensity": problem["intensity"] * (1 + 0.3 * k)}
                        for k in range(2) for problem in many["problems"]]
    said = texts(roofline.svg(many))
    assert {str(k) for k in range(1, 15)} <= set(said)
    assert any(re.search(r"\b1 layer 0 .*\b6 layer 0 .*11 layer 1", text) for text in said)


def test_points_stand_for_rows_with_a_speed_only(matplotlib):
    found = roofline.points(document())
    assert len(found) == 27 and all(row["gflops"] and row["verdict"] in ("ok", "oracle") for _, row in found)
    silent = document(count=1)
    silent["problems"][0] |= {"flops": 0, "intensity": 0.0}
    assert roofline.points(silent) == [] and "5 of 5 rows" in roofline.svg(silent)


@pytest.mark.parametrize("name", ["_hidden", "$x_{2}$", "a<b>&c", "a\x00b\x1b[0m", "\udce9t\u00e9", "核"])
def test_any_name_is_shown_as_it_is(matplotlib, name):
    said = texts(roofline.svg(document(own=name)))
    assert roofline.shown(name) in said and all(c.isprintable() for text in said for c in text.replace("\n", ""))


def test_the_picture_for_a_page_refers_to_nothing(matplotlib):
    svg = roofline.svg(document())
    assert svg.startswith("<svg ") and "http" not in svg and "xmlns" not in svg and "metadata" not in svg and "<?xml" not in svg
    inside = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert inside and inside <= set(re.findall(r'id="([^"]+)"', svg)) and "href=\"#" in svg


def test_without_matplotlib_one_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentProblem, match="-m pip install 'matplotlib>=3.8'"):
        roofline.draw(document(), tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("directions", [BELOW, SIDE])
def test_names_lie_apart_and_off_the_points(matplotlib, directions):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    where = [(4 + 0.3 * k, 5 + 0.2 * (k % 3)) for k in range(8)]
    place(axes, [(x, y, f"problem {k}", directions) for k, (x, y) in enumerate(where)], where, [(0, 6, 10, 6)], "black", "gray")
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    dots = axes.transData.transform(where)
    assert not any(box.contains(*dot) for box in boxes for dot in dots)
    roof = axes.transData.transform((0, 6))[1]
    assert not any(box.y0 < roof < box.y1 for box in boxes)
    corner = axes.get_window_extent(figure.canvas.get_renderer())
    assert all(corner.x0 <= box.x0 and box.x1 <= corner.x1 and corner.y0 <= box.y0 and box.y1 <= corner.y1 for box in boxes)


def test_a_name_without_room_is_left_out(matplotlib):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    place(axes, [(0.5, 0.5, "much too long for a picture of one inch", BELOW)], [(0.5, 0.5)], [], "black", "gray")
    assert not axes.texts
