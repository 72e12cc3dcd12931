"""`minicnn bench [OP | FILE.py:NAME | RUN]`: the kernel lab. Exit code 1 when a kernel is wrong."""

import difflib
import json
import os
from contextlib import nullcontext

import click

from ..errors import UsageError
from .options import Common, Verb, common
from .screen import error, printable

AGAINST, FOR_SUITE = ("reference", "cpu", "torch"), ("cpu", "torch")
NET_INPUTS = {"tinyvgg": (64, 64, 3), "vgg": (32, 32, 3), "vgg-small": (32, 32, 3), "resnet8": (32, 32, 3)}
NET_INPUT, CLASSES = (28, 28, 1), 10


@click.command("bench", cls=Verb, short_help="Kernel lab: correct first, then fast; roofline.")
@click.argument("what", required=False, metavar="[OP|FILE.py:NAME|RUN]")
@click.option("--op", metavar="OP", help="The kernel that FILE.py:NAME stands for, where its name and parameters do not say.")
@click.option("--shape", "shapes", multiple=True, metavar="PROBLEM", help="As mb32ic16ih28oc32kh3ph1; repeatable.")
@click.option("--shapes", "files", multiple=True, metavar="FILE", help="A file of problems, one a line; repeatable.")
@click.option("--dir", "directions", metavar="fwd,bwd_d,bwd_w", help="Directions; default: all that there are.")
@click.option("--against", metavar="NAMES", help="Of reference,cpu,cuda,torch; default: all but cuda.")
@click.option("--time", "seconds", type=click.FloatRange(0.001, 3600), default=1.0, show_default=True,
              help="Seconds of measuring for each row.")
@click.option("--cold", is_flag=True, help="Empty the caches before every call.")
@click.option("--compare", "old", metavar="OLD.json", help="Hold every row against a file that --save wrote.")
@click.option("--asm", is_flag=True, help="X-ray of the machine code: vector width, FMA, spills.")
@click.option("--html", metavar="FILE", help="Write tables and roofline picture as one HTML page.")
@click.option("--net", "own", metavar="FILE.py", help="The file with the own layers of RUN's net.")
@click.option("--save", metavar="FILE.json", help="Write the JSON document, for --compare.")
@common
def command(shared: Common, what, own, **options):
    """Judge kernels against the reference, then time them beside their peers.

    OP is a kernel or an operation of minicnn, as conv2d_forward or conv; FILE.py:NAME a function of yours with the same
    arguments; RUN (a run folder, a model file or a named net) has a net profiled, layer by layer. Without an argument
    a suite of kernels is measured, in about two minutes.
    """
    path, colon, name = (what or "").rpartition(".py:")
    if own and (colon or what is None or what.endswith(".py") or _is_operation(what)):
        raise UsageError("--net names the layers of a RUN, and no RUN was given")
    if colon or (what or "").endswith(".py"):
        return _bench(shared, None, (f"{path}.py", name) if colon else (what, ""), **options)
    if what is None or _is_operation(what):
        return _bench(shared, what, None, **options)
    for option in ("op", "shapes", "files", "directions", "against", "cold", "old", "asm", "html"):
        if options[option]:
            flag = {"files": "shapes", "shapes": "shape", "directions": "dir", "old": "compare"}.get(option, option)
            raise UsageError(f"--{flag} is about kernels; {what} is a net, which is profiled as it is")
    return _profile(shared, what, own, options["seconds"], options["save"])


def _is_operation(what: str) -> bool:
    """Whether WHAT is an operation, and not a net. Raises UsageError where it is neither."""
    from ..lab.operations import WORDS, is_known
    from ..nets import NETS

    if os.path.lexists(what) or what in NETS:
        return False
    if not is_known(what):
        near = difflib.get_close_matches(what, [*WORDS, *NETS], 1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"No operation, file, run or net '{what}'.{guess} Operations: {' '.join(WORDS)}.")
    return True


def _bench(shared, what, own, op, shapes, files, directions, against, seconds, cold, old, asm, html, save) -> int:
    from ..lab import comparison, contenders, measure, operations, report, torch_peer, user_kernel
    from ..machine import usable_cores

    for path in (html, save):
        _check_folder(path)
    chosen, mine, guard = operations.directions(directions), [], nullcontext()
    if own:
        name, function = user_kernel.take(*own)
        what = user_kernel.kernel_of(own[0], name, function, op, chosen)
        mine, guard = [contenders.Own(f"{os.path.basename(own[0])}:{name}", function)], user_kernel.blame(own[0], function)
    elif op is not None:
        raise UsageError("--op says what FILE.py:NAME computes; without a file the operation comes first: minicnn bench OP")
    problems = _problems(what, chosen, shapes, files)
    names = against.split(",") if against else FOR_SUITE if what is None and not files else AGAINST
    contenders.check_names(names)
    if against is None and torch_peer.version() is None:
        names = [name for name in names if name != "torch"]
        shared.screen.note("torch is not installed: no row for it")
    earlier = comparison.read(old) if old else None
    settings = measure.Settings(shared.threads or usable_cores(), seconds, cold, asm, shared.seed)
    for problem in problems:
        measure.check_memory(problem)
    found = report.Report(settings)
    shared.screen.answer(report.head(settings))
    with guard:
        for problem in problems:
            running = contenders.ordered(names, problem, mine)
            running = running if against else [one for one in running if one.why is None]
            entry = measure.measure(problem, running, settings)
            found.problems.append(entry)
            _show(shared, entry, cold, earlier)
    document = found.document()
    _write(document, html, save, shared)
    shared.screen.result(document)
    if found.wrong:
        error(f"wrong: {'; '.join(found.wrong)}")
        return 1
    return 0


def _check_folder(path: str | None) -> None:
    """Before minutes of measuring, not after. Raises UsageError."""
    if path is not None and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or ".")):
        raise UsageError(f"{path} is a folder" if os.path.isdir(path) else f"{path}: there is no folder {os.path.dirname(path)}")


def _problems(what, chosen, shapes, files) -> list:
    """The problems to measure. Raises UsageError, DataError."""
    from ..errors import DataError
    from ..lab import shape_files, suite
    from ..lab.operations import SHORT, kernels_of, stem
    from ..lab.problems import parse

    if what is None and not files:
        if shapes:
            raise UsageError("--shape needs an operation: minicnn bench conv --shape ...")
        return suite.suite(chosen)
    kernels = kernels_of(what, chosen) if what else []
    found = [parse(text, kernel) for text in shapes for kernel in kernels]
    for path in files:
        for operation, text, place in shape_files.read(path):
            own = kernels_of(operation or "conv", chosen) if not what else kernels
            if what and operation and stem(kernels[0]) != SHORT.get(operation, operation):
                continue
            try:
                found += [parse(text, kernel) for kernel in own]
            except UsageError as problem:
                raise DataError(f"{place}: {problem}", problem.hint) from None
    if files and not found:
        raise UsageError(f"no problem in {', '.join(files)} is one of {what}")
    return found or [suite.usual(kernel) for kernel in kernels]


def _show(shared: Common, entry: dict, cold: bool, earlier) -> None:
    from ..lab import comparison, report, xray

    shared.screen.answer()
    for line in report.lines(entry):
        shared.screen.answer(printable(line))
    for row in entry["rows"]:
        if row["xray"] is not None:
            shared.screen.answer("\n".join(printable(line) for line in [row["who"], *xray.text(row["xray"])]))
    for line in comparison.lines(entry, cold, earlier) if earlier else ():
        shared.screen.answer(printable(line))


def _write(document: dict, html, save, shared: Common) -> None:
    from .. import atomic

    if save:
        atomic.write(save, json.dumps(document, indent=1, allow_nan=False).encode())
        shared.screen.note(f"saved: {printable(save)}")
    if html:
        from ..lab import page

        atomic.write(html, page.html(document).encode())
        shared.screen.note(f"page: {printable(html)}")


def _profile(shared: Common, what: str, own: str | None, seconds: float, save) -> int:
    from .. import atomic
    from ..nets import NETS
    from ..profile import profile, sample_batch
    from ..sequential import Sequential
    from ..user_file import blame
    from .opening import open_run

    if what in NETS and not os.path.lexists(what):
        if own:
            raise UsageError(f"--net names the layers of a RUN, and {what} is a net of minicnn's own")
        shape = NET_INPUTS.get(what, NET_INPUT)
        net, run = Sequential(NETS[what](shape, CLASSES), shape, seed=shared.seed), None
    else:
        net, run = open_run(what, own, shared)
    x, labels, source = sample_batch(net, run)
    shared.screen.note(f"{printable(what)}: {printable(source)}")
    with blame(own):
        found = profile(net, x, labels, seconds=seconds)
    shared.screen.answer(found.table())
    if save:
        atomic.write(save, json.dumps(found.document(), indent=1, allow_nan=False).encode())
    shared.screen.result(found.document())
    return 0
