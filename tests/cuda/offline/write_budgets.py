"""Writes budgets.json: what every kernel takes now. Look at the difference before it is committed."""
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE.parent), str(HERE.parent.parent)]


def main():
    from cuda_cases import variants
    from machine_code import ARCHITECTURES, measured

    lines = []
    for name, spec in sorted(variants().items()):
        found = {architecture: measured(spec, architecture) for architecture in ARCHITECTURES}
        registers = {architecture: one["registers"] for architecture, one in found.items()}
        wide = sorted(set.intersection(*(set(one["wide"]) for one in found.values())))
        lines.append(f"  {json.dumps(name)}: {json.dumps({'registers': registers, 'wide': wide})}")
        bad = {k: one for k, one in found.items() if one["stack"] or one["spills"] or one["float64"] or one["local"]}
        if bad:
            raise SystemExit(f"{name}: {bad}")
    (HERE / "budgets.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
