"""A document as `minicnn bench --json` writes it, with invented numbers: losing rows, a wrong one, absent ones."""
import copy

PROBLEMS = [        # problem, label, kernel, flops, bytes, GFLOP/s of reference, cpu, mine.py:conv, torch
    ("mb32ic16ih28oc32kh3ph1", None, "conv2d_forward", 231_211_008, 4_835_456, 0.31, 56.0, 33.1, 73.4),
    ("mb128ic1ih28oc10kh3", "MNIST conv 1", "conv2d_forward", 15_575_040, 3_863_080, 0.12, 21.5, 9.0, 12.8),
    ("mb64ic64ih56oc64kh3ph1", "ResNet-18 layer 1", "conv2d_forward", 14_797_504_512, 102_907_904, 0.6, 91.0, 30.2, 70.4),
    ("mb64ic3ih224oc64kh7sh2ph3", "ResNet-18 stem", "conv2d_forward", 15_105_785_856, 244_093_440, 0.5, 61.7, 29.5, 55.0),
    ("mb1ic512ih7oc512kh3ph1", "ResNet-18 layer 4, one image", "conv2d_forward", 231_211_008, 9_637_888, 0.4, 44.0, 21.0, 38.0),
    ("mb128ic400oc120", "LeNet-5 dense", "dense_forward", 12_288_000, 458_240, 3.1, 70.0, 41.0, 66.0),
    ("mb128oc24oh24ic6", None, "relu_forward", 1_769_472, 14_155_776, 0.9, 1.9, 1.8, 1.7),
]
XRAY = {"machine_code": True, "why": None, "function": "conv", "where": "mine.py:12", "widest": "ymm", "instructions": 27,
        "arithmetic": 16, "fma": 0, "register": "scalar", "lanes": 1, "element": "float32", "vector_share": 0.0, "loads": 16,
        "stores": 0, "loads_per_fma": None, "stores_per_fma": None, "spill_loads": 0, "spill_stores": 0, "address_reloads": 0,
        "calls": [], "hints": ["one sum in strict order, each addition waits for the last"],
        "assembly": ["vmovss (%rcx,%r8,4), %xmm1", "vmulss (%rdx,%r8,4), %xmm1, %xmm1", "vaddss %xmm1, %xmm0, %xmm0",
                     "jne .LBB0_5"]}


def row(problem, who, gflops, cpu, **named):
    _, _, _, flops, size, *_ = problem
    median = flops / gflops / 1e9
    ratio = gflops / cpu
    facts = {"who": who, "device": "cpu", "threads": 2, "verdict": "ok", "why": None, "max_error": 2.4e-7, "median": median,
             "p20": median * 0.97, "p80": median * 1.06, "samples": [median * f for f in (0.96, 0.99, 1.0, 1.04, 1.1)],
             "gflops": gflops, "gbytes": size / median / 1e9, "of_roof": gflops / min(96.0, flops / size * 21.3),
             "versus_cpu": ratio, "comparison": "FASTER" if ratio > 1.03 else "SLOWER" if ratio < 0.97 else "SAME",
             "compile": None, "xray": None}
    return facts | named


def without_times(who, verdict, why, **named):
    empty = dict.fromkeys(("max_error", "median", "p20", "p80", "gflops", "gbytes", "of_roof", "versus_cpu", "comparison",
                           "compile", "xray"))
    return {"who": who, "device": "cpu", "threads": 2, "verdict": verdict, "why": why, "samples": []} | empty | named


def document(own="mine.py:conv", count=7):
    """The sample; `own` is the name of the user's kernel."""
    problems = []
    for problem in PROBLEMS[:count]:
        text, label, kernel, flops, size, reference, cpu, mine, torch = problem
        rows = [row(problem, "reference", reference, cpu, verdict="oracle", max_error=0.0),
                row(problem, "cpu", cpu, cpu, comparison=None, compile=2.21),
                row(problem, own, mine, cpu, compile=1.13, xray=copy.deepcopy(XRAY)),
                row(problem, "torch 2.13", torch, cpu)]
        if problem is PROBLEMS[3]:
            rows[2] = without_times(own, "wrong", "y[0,3,1,7] is 0.4183, expected 0.8366", max_error=0.42)
        rows.append(without_times("cuda", "absent", "no CUDA device (minicnn doctor says why)", device="-", threads=None))
        problems.append({"problem": text, "label": label, "kernel": kernel, "flops": flops, "bytes": size,
                         "intensity": flops / size, "rows": rows})
    return {"minicnn": "0.1.0", "date": "2025-11-25T12:30:00+00:00",
            "machine": {"cpu": "AMD EPYC 7B13", "vector_units": ["avx2", "fma"], "cores": 2},
            "versions": {"minicnn": "0.1.0", "python": "3.11.2", "numpy": "2.4.6", "numba": "0.68.1"}, "threads": 2,
            "cold": False, "seconds": 1.0, "roof": {"gflops": 96.2, "gbytes": 21.3, "threads": 2}, "problems": problems}
