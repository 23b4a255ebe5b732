"""Everything that README and docs say about index and serving, measured: `make bench-serving`.

    python benchmarks/serving.py [--only PART ...] [--data-dir FOLDER]

Parts: index (ScaNN beside BruteForce, hnswlib and faiss at a million items), latency (one query through the exported
signature), memory (five million items), server (the local server under 32 clients). `parts.py` says what becomes of
their figures.
"""

from __future__ import annotations

from parts import Benchmark

SERVING = Benchmark(
    "serving",
    "Index and serving",
    {
        "index": "A million items: ScaNN, BruteForce, hnswlib, faiss",
        "latency": "One query through the exported signature",
        "memory": "Memory of five million items",
        "server": "The local server under load",
    },
    reads_data="server",
)

if __name__ == "__main__":
    SERVING.main(__doc__)
