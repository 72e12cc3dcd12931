"""What the kernels of the cuda column share: intrinsics, constants into templates, specifications, launches.

A kernel is a plain Python function; it is compiled at its first launch, and no module of this folder needs a GPU, or a
driver, to be imported. The same source runs thread by thread in a simulator (NUMBA_ENABLE_CUDASIM=1), where each
intrinsic has a twin in Python.
"""
