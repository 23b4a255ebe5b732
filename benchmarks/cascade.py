"""Everything that README and docs say about the cascade, measured: `make bench-cascade`.

    python benchmarks/cascade.py [--only PART ...] [--data-dir FOLDER]

Parts: latency (one request through retrieval and ranking), accuracy (the cascade beside retrieval alone on MovieLens
100K, leave-last-out). `parts.py` says what becomes of their figures.
"""

from __future__ import annotations

from parts import Benchmark

CASCADE = Benchmark(
    "cascade",
    "The cascade",
    {"latency": "One request through retrieval and ranking", "accuracy": "Beside retrieval alone"},
    reads_data="accuracy",
)

if __name__ == "__main__":
    CASCADE.main(__doc__)
