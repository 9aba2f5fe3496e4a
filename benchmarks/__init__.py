"""Ratios measured side by side in one run, because machines differ and are shared: `python -m benchmarks.run`."""
