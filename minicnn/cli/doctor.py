"""`minicnn doctor`: what this machine can do, where the caches are, which versions run."""

import os
import warnings

import click

from .options import Common, Verb, common


@click.command("doctor", cls=Verb, short_help="What this machine can do; caches; versions.")
@common
def command(shared: Common):
    """Show versions, the CPU and its vector units, usable cores, memory, and the state of the cache of compiled
    kernels.
    """
    from .. import machine

    facts = {
        "versions": machine.versions(),
        "cpu": machine.cpu(),
        "cores": machine.usable_cores(),
        "memory": machine.memory(),
        "cache": cache_state(),
    }
    screen, cpu, cache, memory = shared.screen, facts["cpu"], facts["cache"], facts["memory"]
    screen.answer("versions  " + "   ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    units = " ".join(cpu["vector_units"]) or "none found"
    screen.answer(f"cpu       {cpu['name']} ({cpu['target']}); vector units: {units}")
    screen.answer(f"cores     {facts['cores']} usable")
    if memory:
        screen.answer(f"memory    {memory['available'] / 1e9:.1f} GB free of {memory['total'] / 1e9:.1f} GB")
    screen.answer(f"cache     {cache['folder']}: {cache['state']}")
    screen.result(facts)
    return 0


def cache_state() -> dict:
    """{"folder", "usable", "kernels", "bytes", "state"} of the cache of compiled kernels; state is a sentence."""
    from ..kernels.cache import cache_folder, cache_root

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder = cache_folder()
    if folder is None:
        reason = str(caught[0].message) if caught else "it cannot be used"
        return {"folder": str(cache_root()), "usable": False, "kernels": 0, "bytes": 0, "state": reason}
    sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".bin")]
    state = f"usable, {len(sizes)} compiled kernels, {sum(sizes) / 1e6:.1f} MB"
    return {"folder": str(folder), "usable": True, "kernels": len(sizes), "bytes": sum(sizes), "state": state}
