"""Convert a state_dict to safetensors.

Reads   model.pt in the model's version folder, checked by train.sha256
Writes  model.safetensors and its hash, convert.sha256, beside it
Run     python -m stages.convert_safetensors simple_classifier
"""

from isoform.formats import FORMATS, safetensors, state_dict
from pipeline import layout, params, records
from stages import run


def convert(state_dict_bytes: bytes) -> bytes:
    """Return the same tensors, tied ones included, as safetensors."""
    return safetensors.dump(state_dict.read(state_dict_bytes))


def main(name: str) -> None:
    """Convert the model `name`; raises `BadInput` when its state_dict is missing."""
    folder = layout.version_dir(name, params.load().model("torch", name).version)
    data = convert(records.read(folder, "train", FORMATS["state_dict"].filename))
    records.write(folder, "convert", {FORMATS["safetensors"].filename: data})


if __name__ == "__main__":
    run(main, __doc__, "name")
