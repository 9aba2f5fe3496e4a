"""Every pin that keeps the bytes of a run independent of the machine, in one place.

`pin_environment` must run before numpy or torch is imported: `stages/__init__.py` and `tests/conftest.py`
call it first. It overrides what the user has set, because the bytes must not depend on it.
"""

import os

PINS = {
    # One instruction set for every kernel that is chosen at run time, whatever the CPU offers.
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 here would still differ between Intel and AMD
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    # A sum split over threads rounds by the number of threads. torch gets its number from params.yaml.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def pin_environment() -> None:
    """Set every variable of `PINS` for this process and its children."""
    os.environ.update(PINS)


def seed_torch(seed: int, threads: int) -> None:
    """Seed torch and hold it to deterministic kernels on `threads` threads."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # As use_deterministic_algorithms(True), which also imports torch's compiler: a second for nothing.
    torch.set_deterministic_debug_mode("error")
