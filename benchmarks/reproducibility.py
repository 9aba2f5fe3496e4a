"""What `reproducibility: portable` costs: a training step under its pins against one under those of `machine`.

Each setting in a process of its own, in turn: the default network on batches of its size, and one whose time goes
into large matrix products. "MKL alone" is portable without pipeline/portable_matmul.py: what the pins would cost then.

Run     python -m benchmarks.reproducibility [--repeats 5]     (some two minutes)
"""

import argparse
import subprocess
import sys
import time
from statistics import median

from benchmarks.timing import ROOT, Ratio, interleaved, use_two_cores
from pipeline import determinism

LIMIT = 1.3
SETTINGS = ("machine", "portable", "MKL alone")
NETWORKS = {
    "default": {"numeric": 15, "cardinalities": [16, 3, 104, 35, 7], "hidden": 128, "embedding": 4},
    "wide": {"numeric": 512, "cardinalities": [], "hidden": 1024, "embedding": 4},
}
BATCH_SIZE = 2048
STEPS = {"default": 300, "wide": 20}


def measure(network: str, repeats: int) -> tuple[Ratio, float]:
    """Return the ratio of the median seconds per thousand steps, portable to machine, and those of MKL alone."""
    calls = [lambda setting=setting: _in_a_process(setting, network) for setting in SETTINGS]
    machine_s, portable_s, mkl_s = interleaved(calls, repeats, f"a thousand steps, {network}: {', '.join(SETTINGS)}")
    ratio = Ratio(
        what=f"A thousand training steps of the {network} network: batches of {BATCH_SIZE}, one thread",
        numerator=f"portable (median of {repeats})",
        denominator="machine",
        numerator_s=portable_s,
        denominator_s=machine_s,
        limit=LIMIT,
    )
    return ratio, mkl_s


def thousand_steps_s(setting: str, network: str) -> float:
    """Return a thousand times the median seconds of a step; in a fresh process, because it pins the environment."""
    determinism.pin_environment("machine" if setting == "machine" else "portable")
    import torch

    from isoform.networks import SimpleClassifier

    if setting == "MKL alone":
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("error")
    else:
        determinism.seed_torch(0, 1)
    module = SimpleClassifier(classes=2, **NETWORKS[network])  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    cardinalities: list[int] = NETWORKS[network]["cardinalities"]  # type: ignore[assignment]
    numeric = torch.randn(BATCH_SIZE, NETWORKS[network]["numeric"])  # type: ignore[call-overload]
    categories = torch.stack([torch.randint(1, size + 1, (BATCH_SIZE,)) for size in cardinalities] or [numeric[:, 0].long()], 1)
    labels = torch.randint(0, 2, (BATCH_SIZE,))
    times = []
    for _ in range(STEPS[network]):
        begin = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(module(numeric, categories), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return 1000 * median(times)


def _in_a_process(setting: str, network: str) -> float:
    command = [sys.executable, "-m", "benchmarks.reproducibility", "--only", setting, network]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="processes of each")
    parser.add_argument("--only", nargs=2, metavar=("SETTING", "NETWORK"), help="print the seconds of one")
    options = parser.parse_args()
    if options.only:
        print(thousand_steps_s(*options.only))
        return
    use_two_cores()
    for network in NETWORKS:
        ratio, mkl_s = measure(network, max(1, options.repeats))
        print("\n".join(ratio.lines()))
        print(f"  for comparison, portable by MKL alone: {mkl_s:.2f} s, ratio {mkl_s / ratio.denominator_s:.2f}")


if __name__ == "__main__":
    main()
