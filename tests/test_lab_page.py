"""The page of a benchmark: every row is in it, names are harmless, it is whole in itself."""
import re
import sys
from html.parser import HTMLParser

import pytest
from lab_sample import document

from minicnn.lab import page

HOSTILE = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "</style><b>", "&lt;b&gt;",
           "$title ${picture}", "]]><!--", "\x00\udcff\u202e", "</svg><h1>"]


class Tags(HTMLParser):
    """All tags with their attributes, and all text, as a browser's parser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.ends = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))

    def handle_endtag(self, tag):
        self.ends.append(tag)

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def plain(monkeypatch):
    """The page without its picture, as where matplotlib is missing: the table is what is tested."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def planted(name):
    """The sample with `name` in every place where text stands."""
    made = document(own=name)
    made["machine"]["cpu"] = made["minicnn"] = made["versions"]["numpy"] = made["date"] = name
    made["machine"]["vector_units"] = [name]
    for problem in made["problems"]:
        problem |= {"problem": name, "label": name, "kernel": name}
        for row in problem["rows"]:
            row |= {"who": name, "device": name, "why": name}
            if row["xray"]:
                row["xray"] |= {"function": name, "where": name, "hints": [name], "assembly": [name]}
    return made


def test_every_row_is_there_losing_wrong_and_absent(plain):
    text = page.html(document())
    cells = re.findall(r"<tr><td[^>]*>([^<]*)</td>", text)
    assert len(cells) == 7 * 5 and cells[:5] == ["reference", "cpu", "mine.py:conv", "torch 2.13", "cuda"]
    assert "y[0,3,1,7] is 0.4183, expected 0.8366" in text and text.count("no CUDA device (minicnn doctor says why)") == 7
    assert "slower, clearly" in text and "faster, clearly" in text


def test_a_row_says_all_its_numbers(plain):
    text = page.html(document())
    row = next(line for line in text.splitlines() if "torch 2.13" in line)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert cells == ["torch 2.13", "ok", "2.4e-07", "3.15 ms", "3.06–3.34 ms", "73.4", "1.54", "76%", "1.31x", "faster, clearly",
                     "cpu, 2 threads", ""]
    assert len(re.findall(r"<th ", text.split("</thead>")[0])) == len(cells)
    assert "conv2d_forward, 0.231 GFLOP, 4.84 MB, 47.8 operations per byte" in text


def test_a_wrong_row_has_no_time(plain):
    row = next(line for line in page.html(document()).splitlines() if ">wrong<" in line)
    assert not re.search(r"\d (s|ms|µs|ns)\b|GFLOP|\d%|\dx", row) and 'colspan="9"' in row and row.count("<td") == 4


def test_a_remark_on_a_row_with_a_time_stands_below_the_table(plain):
    made = document(count=1)
    made["problems"][0]["rows"][2]["why"] = "holds the GIL"
    assert "mine.py:conv: holds the GIL</p>" in page.html(made) and "None" not in page.html(document())


def test_the_conditions_are_told(plain):
    text = "".join(Tags(page.html(document())).text)
    for fact in ("AMD EPYC 7B13, 2 cores, avx2 fma", "2 for every row", "warm", "96.2 GFLOP/s, 21.3 GB/s", "numba 0.68.1",
                 "about 1 s"):
        assert fact in text
    cold = document()
    cold["cold"] = True
    assert "cold: emptied before every call" in page.html(cold)


def test_x_rays_open_below_their_table(plain):
    text = page.html(document())
    assert text.count("<details>") == 6 and "hot loop of conv, mine.py:12: scalar" in text
    assert "<p>hint: one sum in strict order" in text and "<pre>vmovss (%rcx,%r8,4), %xmm1\n" in text
    made = document(count=1)
    made["problems"][0]["rows"][2]["xray"] = {"machine_code": False, "why": "no machine code: conv is not compiled"}
    assert "no machine code: conv is not compiled</summary></details>" in page.html(made)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_a_tag(plain, name):
    harmless, hostile = Tags(page.html(planted("name"))), Tags(page.html(planted(name)))
    assert hostile.tags == harmless.tags and hostile.ends == harmless.ends
    assert any(page.shown(name) in text for text in hostile.text)


def test_no_name_becomes_a_tag_of_the_picture():
    pytest.importorskip("matplotlib")
    name = "".join(HOSTILE[:5])[:60]                # the legend shows so much
    strip = [[tag for tag, _ in Tags(page.html(document(own=own))).tags] for own in ("x" * len(name), name)]
    assert strip[0] == strip[1] and "script" not in strip[1] and "img" not in strip[1]


def test_the_page_is_whole_in_itself():
    pytest.importorskip("matplotlib")
    text = page.html(document())
    tags = Tags(text).tags
    policy = next(dict(attributes) for tag, attributes in tags if dict(attributes).get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not re.search(r"https?:|//\w", text) and not {"script", "link", "iframe", "img"} & {tag for tag, _ in tags}
    assert all(value.startswith("#") for _, attributes in tags for key, value in attributes if key in ("href", "src"))
    assert not [key for _, attributes in tags for key, _ in attributes if key.startswith("on")]
    ids = [value for _, attributes in tags for key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids)) > 10
    assert text.encode("utf-8") and "prefers-color-scheme: dark" in text and "var(--ink)" in text.split("<svg")[1]


def test_without_matplotlib_the_page_says_what_is_missing(plain):
    text = page.html(document())
    assert "<svg" not in text and "pip install" in text and "<table>" in text


@pytest.mark.parametrize("values, expected", [
    ((2.5,), "2.5 s"), ((0.0041, 0.0123), "4.1–12.3 ms"), ((9.4e-7, 1.2e-6), "0.94–1.2 µs"), ((3e-8,), "30 ns"),
    ((1e-12,), "0.001 ns")])
def test_times(values, expected):
    assert page._times(*values) == expected
