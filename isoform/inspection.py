"""Say what a version folder or a model file holds, without loading a pickle."""

from collections.abc import Iterator
from pathlib import Path

from isoform import metadata as documents
from isoform.errors import BadInput, CheckFailed, Refused, printable
from isoform.formats import FORMATS
from isoform.integrity import read_bytes, refuse_bad_path, sha256
from isoform.loading import UNSAFE, read_file


def inspect(path: Path) -> Iterator[str]:
    """Yield printable lines that describe the version folder or the model file at `path`. Raises `BadInput`, `CheckFailed`."""
    for line in _describe(path):
        yield printable(line)


def _describe(path: Path) -> Iterator[str]:
    refuse_bad_path(path)
    if path.is_dir():
        yield from _inspect_folder(path)
    else:
        data = read_bytes(path)
        yield f"{path}  {size_text(len(data))}  sha256 {sha256(data)}"
        yield from _inspect_bytes(path, data)


def size_text(size_bytes: int) -> str:
    """Return a size for people, in decimal units."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.1f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:.1f} MB"


def figure(value: float) -> str:
    """Return a metric for people: four decimals of what lies between 0.01 and 1, four digits of all else."""
    return f"{value:.4f}" if 0.01 <= abs(value) <= 1 else f"{value:#.4g}"


def _inspect_folder(folder: Path) -> Iterator[str]:
    metadata = documents.read(folder)
    yield f"{metadata.model_name} {metadata.version}  {metadata.framework}  created {metadata.created_at}"
    for name, metric in metadata.metrics.items():
        yield f"  {name:<12} {figure(metric.value)}  [{figure(metric.low)}, {figure(metric.high)}]"
    yield ""
    yield f"  {'format':<12} {'file':<18} {'size':>9}  {'sha256':<12}  largest difference to the reference"
    for name, entry in metadata.files.items():
        parity = f"{entry.parity.max_difference:.1e} (limit {entry.parity.tolerance:g})" if entry.parity else "-"
        here = "" if (folder / entry.path).exists() else "  (not here: dvc pull)"
        yield f"  {name:<12} {entry.path:<18} {size_text(entry.bytes):>9}  {entry.sha256[:12]}  {parity}{here}"
    if "onnx" in metadata.files and (folder / metadata.files["onnx"].path).exists():
        yield ""
        yield from _inspect_onnx(folder / metadata.files["onnx"].path, read_file(folder, metadata, "onnx"))


def _inspect_bytes(path: Path, data: bytes) -> Iterator[str]:
    if path.suffix == ".onnx":
        yield from _inspect_onnx(path, data)
    elif path.suffix == ".safetensors":
        yield from _inspect_safetensors(path, data)
    elif any(path.suffix == Path(entry.filename).suffix for entry in FORMATS.values()):
        yield "  a pickle stream, which is a program: not opened"
    else:
        raise BadInput(path, f"has the suffix '{path.suffix}'", "give a version folder or a model file")


def _inspect_onnx(path: Path, data: bytes) -> Iterator[str]:
    from isoform.formats import onnx as onnx_format
    from isoform.formats import onnx_policy

    try:
        model = onnx_policy.check(data)
        opsets = ", ".join(f"{entry.get('domain') or 'ai.onnx'} {entry['version']}" for entry in model.get("opset_import", ()))
        yield f"  ONNX IR {model['ir_version']}, opset {opsets}, {len(model['graph'].get('node', ()))} nodes"
        yield f"  operators  {', '.join(onnx_policy.operators(model))}"
        session = onnx_format.load(data)
    except Refused as refusal:
        raise CheckFailed(path, str(refusal), UNSAFE) from refusal
    except Exception as error:
        raise BadInput(path, f"onnxruntime cannot read it ({str(error)[:200]})", "rebuild it with 'dvc repro'") from error
    for title, values in (("input ", session.get_inputs()), ("output", session.get_outputs())):
        for value in values:
            shape = ", ".join("N" if isinstance(size, str) or size is None else str(size) for size in value.shape)
            yield f"  {title}  {value.name:<20} {value.type}[{shape}]"


def _inspect_safetensors(path: Path, data: bytes) -> Iterator[str]:
    from isoform.formats import safetensors_header

    try:
        header = safetensors_header.read(data)
    except Refused as refusal:
        raise CheckFailed(path, f"is not safetensors ({refusal})", UNSAFE) from None
    for name, tensor in header.tensors.items():
        yield f"  tensor  {name:<28} {tensor.dtype} {tensor.shape}"
    yield f"  metadata  tied: {header.tied}"
