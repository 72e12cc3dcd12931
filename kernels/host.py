"""What the cpu column assumes of the processor it compiles for."""
from llvmlite import binding
from numba import config

# A processor that was named (NUMBA_CPU_NAME) counts as one without AVX-512. The cache's key holds the name too: kernels and
# contract, each from the cache, must agree on what follows from it.
WIDE = not config.CPU_NAME and binding.get_host_cpu_features().get("avx512f", False)
