"""Every pin that keeps the bytes of a run independent of the machine, in one place.

`pin_environment` must run before numpy or torch is imported: `stages/__init__.py` and `tests/conftest.py`
call it first. It overrides what the user has set, because the bytes must not depend on it.
"""

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import Literal

from isoform.errors import BadInput, IsoformError, Refused

Reproducibility = Literal["portable", "machine"]
"""`portable`: the same bytes on every x86-64 CPU with AVX2. `machine`: on this machine only, and faster."""

FIXED = {
    # A sum split over threads rounds by the number of threads. torch gets its number from params.yaml.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
PORTABLE = {
    # One instruction set for every kernel that is chosen at run time, whatever the CPU offers.
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 here would still differ between Intel and AMD
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
MACHINE = {
    "MKL_CBWR": "AUTO",  # the CPU's best kernels, but the same ones whatever the alignment of an array
}
OVERRIDDEN = ("ATEN_", "BLIS_", "CUBLAS_", "DNNL_", "GOMP_", "GOTO_", "KMP_", "MKL_", "NPY_", "OMP_", "ONEDNN_", "OPENBLAS_")
"""Prefixes of the variables by which a user's environment would choose kernels, threads or precision."""
NUMERIC = ("numpy", "torch", "scipy", "sklearn")


def pins(reproducibility: Reproducibility) -> dict[str, str]:
    """Return the variables to set; outside the guarantee, where the portable ones would crash, those of `machine`."""
    return FIXED | (PORTABLE if reproducibility == "portable" and in_guarantee() else MACHINE)


def pin_environment(reproducibility: Reproducibility | None = None) -> None:
    """Set the pins for this process and its children, and drop every other variable that chooses kernels.

    Without an argument, params.yaml of the working directory says which. Raises `RuntimeError` when a numeric
    library is loaded already and has read other values.
    """
    wanted = pins(reproducibility or declared())
    present = {name: value for name, value in os.environ.items() if name.startswith(OVERRIDDEN)}
    loaded = [name for name in NUMERIC if name in sys.modules]
    if loaded and present != wanted:
        raise RuntimeError(f"{loaded[0]} was imported before the pins were set; import stages, or pin_environment(), first")
    for name in present.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def declared(path: Path = Path("params.yaml")) -> Reproducibility:
    """Return `reproducibility` of params.yaml; `portable` when it cannot be read, which `params.load` will report."""
    from pipeline import plain_yaml

    try:
        content = plain_yaml.read(path)
    except (OSError, IsoformError, Refused):
        return "portable"
    return "machine" if isinstance(content, dict) and content.get("reproducibility") == "machine" else "portable"


def in_guarantee() -> bool:
    """Return whether portable bits are promised here: Linux on x86-64 with AVX2."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and _has_avx2()


def _has_avx2() -> bool:
    """Ask glibc (2.33 or newer) for CPUID leaf 7, EBX bit 5, as <sys/platform/x86.h> does; without it, believe so."""
    try:
        leaf = ctypes.CDLL(None).__x86_get_cpuid_feature_leaf
    except (OSError, AttributeError):
        return True
    # struct cpuid_feature: EAX, EBX, ECX, EDX as the CPU has them, before what GLIBC_TUNABLES hides of them.
    leaf.restype, leaf.argtypes = ctypes.POINTER(ctypes.c_uint32), [ctypes.c_uint32]
    return bool(leaf(1)[1] >> 5 & 1)


def seed_torch(seed: int, threads: int, device: str = "cpu") -> None:
    """Seed torch and hold it to deterministic kernels on `threads` threads; raises `BadInput` when it has no such device."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("params.yaml", f"device is cuda, and torch {torch.__version__} finds no GPU", "set device: cpu")
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # As use_deterministic_algorithms(True), which also imports torch's compiler: a second for nothing.
    torch.set_deterministic_debug_mode("error")
    if os.environ.get("MKL_CBWR") == PORTABLE["MKL_CBWR"]:
        from pipeline import portable_matmul

        portable_matmul.install()
