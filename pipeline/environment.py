"""Where a run happens: whether its libraries are those of the lock, and on what its bytes may depend."""

import logging
import platform
import re
from importlib import metadata
from pathlib import Path

from isoform.errors import BadInput
from isoform.integrity import read_bytes
from pipeline import determinism
from pipeline.determinism import Reproducibility

LOCK = Path("requirements.lock")
PYTHON = Path(".python-version")

log = logging.getLogger(__name__)


def version(library: str) -> str:
    """Return the version of an installed library without its build tag: '+cpu' names an index, not a release."""
    return metadata.version(library).split("+")[0]


def python_minor() -> str:
    """Return this Python as '3.11'."""
    return ".".join(platform.python_version_tuple()[:2])


def check() -> None:
    """Compare what is installed with requirements.lock, before any work.

    Raises `BadInput` naming each library that differs. Another minor version of Python, which not every machine can
    mend, is only said: results are comparable, bytes are not promised.
    """
    wrong = []
    for name, wanted in re.findall(r"^([\w.-]+)==([^\s;+]+)", read_bytes(LOCK).decode(errors="replace"), re.MULTILINE):
        try:
            found = version(name)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} {found} instead of {wanted}")
    if wrong:
        reason = f"is not what is installed: {', '.join(wrong)}"
        raise BadInput(LOCK, reason, "run 'pip install -r requirements.lock', or 'make lock' to lock what is newest")
    wanted = read_bytes(PYTHON).decode(errors="replace").strip()
    if python_minor() != wanted:
        log.warning("note: this is Python %s; the same bytes are promised for %s only", python_minor(), wanted)


def description(reproducibility: Reproducibility, device: str = "cpu") -> str:
    """Return on what the bytes depend: runs whose descriptions are equal give the same bytes.

    Inside the guarantee that is one text for all machines. Outside it, and with `machine`, it names the CPU;
    on a GPU, the GPU too.
    """
    parts = [platform.system(), platform.machine()]
    if determinism.in_guarantee() and reproducibility == "portable":
        parts.append("with AVX2")
    else:
        parts.append(_cpu())
    if device == "cuda":
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "a GPU that is not here"
        parts.append(f"{gpu}, CUDA {torch.version.cuda}")
    return " ".join(filter(None, parts))


def _cpu() -> str:
    """Return the CPU's name, '' where the system does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()
