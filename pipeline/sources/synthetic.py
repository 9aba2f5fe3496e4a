"""The synthetic set of the document: 1000 rows, 20 numeric columns x0 … x19, target y of two classes."""

import io
from pathlib import Path

from isoform.integrity import write_atomic


def fetch(path: Path) -> None:
    """Draw the set and write it to `path` as Parquet."""
    import pandas as pd
    from sklearn.datasets import make_classification

    features, labels = make_classification(n_samples=1000, n_features=20, random_state=42)
    table = pd.DataFrame(features.astype("float32"), columns=[f"x{i}" for i in range(features.shape[1])])
    buffer = io.BytesIO()
    table.assign(y=labels).to_parquet(buffer, index=False)
    write_atomic(path, buffer.getvalue())
