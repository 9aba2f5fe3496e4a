"""Replay golden.json with onnxruntime alone: what asking a model takes without isoform, which checks the hashes as well.

Run     python replay.py ../../models/simple_classifier/v1.0.0
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
golden = json.loads((folder / "golden.json").read_bytes())
session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
columns = np.array(golden["rows"], dtype=object).T[:, :, None]  # [F, N, 1]
feeds = {k: c if isinstance(c[0, 0], str) else c.astype(np.float32) for k, c in zip(golden["columns"], columns, strict=True)}
*label, found = session.run(None, feeds)  # label and probabilities, or the prediction alone
expected = np.float32(golden["probabilities"] or golden["prediction"]).reshape(found.shape)
difference = np.max(np.abs(found - expected) / np.maximum(golden["scale"], np.abs(expected)), axis=1)
agrees = (difference <= golden["tolerance"]) & (label[0] == np.array(golden["label"]) if label else True)
print(f"{folder}: {len(agrees)} golden rows replayed, largest difference {difference.max():.1e}")
if not agrees.all():
    sys.exit(f"error: {folder}: rows {np.flatnonzero(~agrees).tolist()} differ; do not use this version here")
