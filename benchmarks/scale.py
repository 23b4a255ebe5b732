"""Training speed and memory at one size of simulated data, with the catalogue of `simulated-large`.

    python benchmarks/scale.py --rows 25000000 [--dim 64] [--batch-size 131072] [--min-steps 60]

Users grow with the rows, the 20,000 items do not. Everything happens in this process, from generating the data to a
look at a validation sample, so the peak of its memory is that of all of it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from record import Figures, finish, judged, parser, table

from recsys_tfrs import runtime

SIZES = (1_000_000, 25_000_000)
#: Examples per second at the last size, as a share of those at the first.
SPEED_BAR = 0.75
#: Bytes.
MEMORY_BAR = 12e9
_SEED = 42


def measure(rows: int, dim: int, batch_size: int, min_steps: int) -> Figures:
    """Generate, split, train for at least `min_steps` whole epochs' steps, look at validation."""
    runtime.configure("auto", seed=_SEED)
    from rich.console import Console

    from recsys_tfrs.config import build
    from recsys_tfrs.runs.config import family_config
    from recsys_tfrs.runs.fitting import validator
    from recsys_tfrs.runs.prepared import prepare
    from recsys_tfrs.training.fit import Phase, fit

    started = time.perf_counter()
    settings = {
        "family": "two-tower",
        "seed": _SEED,
        "data": {"dataset": "simulated-large", "num_rows": rows},
        "model": {"dim": dim, "hide": "any"},
        "training": {"batch_size": batch_size},
    }
    prepared = prepare(build(family_config("two-tower"), [settings]))
    data_seconds, data_peak = time.perf_counter() - started, runtime.peak_memory_bytes()
    print(f"{rows:,} rows made and split in {data_seconds:.0f} s, peak {data_peak / 1e9:.1f} GB", flush=True)

    started = time.perf_counter()
    batches = prepared.batches(prepared.selection_train)
    model = prepared.build_model(prepared.selection_train)
    build_seconds = time.perf_counter() - started
    epochs = max(1, -(-min_steps // batches.steps_per_epoch))
    training = prepared.config.training.model_copy(update={"epochs": epochs, "validate_every": epochs})
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        phase = Phase("scale", epochs, validator(prepared, model))
        state = fit(model, batches, phase, training, Path(work), Console(quiet=True))
    return {
        "rows": rows,
        "dim": dim,
        "batch_size": batch_size,
        "num_users": prepared.interactions.num_users,
        "num_items": prepared.interactions.num_items,
        "steps": epochs * batches.steps_per_epoch,
        "users_per_batch": batches.users_per_batch,
        "epochs": epochs,
        "examples_per_second": state.examples / state.seconds,
        "validation_hit@100": state.log[-1]["validation_hit@100"],
        "data_seconds": data_seconds,
        "build_seconds": build_seconds,
        "fit_seconds": time.perf_counter() - started,
        "data_peak_bytes": data_peak,
        "peak_bytes": runtime.peak_memory_bytes(),
    }


def render_one(figures: Figures) -> list[str]:
    """A line for the terminal."""
    return [
        f"{figures['rows']:,} rows: {figures['examples_per_second']:,.0f} examples/s over {figures['steps']} steps, "
        f"fit {figures['fit_seconds']:.0f} s, peak {figures['peak_bytes'] / 1e9:.1f} GB, "
        f"validation hit@100 {figures['validation_hit@100']:.4f}"
    ]


def render(figures: Figures) -> list[str]:
    """Markdown of several sizes: ``{"sizes": [...]}``."""
    sizes = figures["sizes"]
    rows = [
        [
            f"{size['rows']:,}",
            f"{size['num_users']:,}",
            f"{size['examples_per_second']:,.0f}",
            f"{size['steps']:,} ({size['epochs']})",
            f"{size['fit_seconds']:.0f}",
            f"{size['data_seconds']:.0f}",
            f"{size['data_peak_bytes'] / 1e9:.1f}",
            f"{size['peak_bytes'] / 1e9:.1f}",
        ]
        for size in sizes
    ]
    header = ["rows", "users", "examples/s", "steps (epochs)", "fit s", "make and split s", "its peak GB", "peak GB"]
    first, last = sizes[0], sizes[-1]
    ratio = last["examples_per_second"] / first["examples_per_second"]
    return [
        f"Simulated data with the catalogue of {first['num_items']:,} items throughout, full softmax over it, vectors "
        f"of {first['dim']}, batches of {first['batch_size']:,} interactions, temporal split; the fit ends with a look "
        "at the validation part (at most 10,000 users).",
        "",
        *table(header, rows),
        "",
        f"- speed at {last['rows']:,} rows: {ratio:.0%} of that at {first['rows']:,}, bar at least {SPEED_BAR:.0%}: "
        f"{judged(ratio, SPEED_BAR)}",
        f"- peak memory at {last['rows']:,} rows, generating the data included: {last['peak_bytes'] / 1e9:.1f} GB, bar "
        f"under {MEMORY_BAR / 1e9:.0f} GB: {judged(last['peak_bytes'], MEMORY_BAR, at_most=True)}",
    ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, required=True, help="interactions to generate")
    arguments.add_argument("--dim", type=int, default=64)
    arguments.add_argument("--batch-size", type=int, default=131_072, help="interactions in a batch")
    arguments.add_argument("--min-steps", type=int, default=60, help="train whole epochs until so many steps are done")
    args = arguments.parse_args()
    figures = measure(args.rows, args.dim, args.batch_size, args.min_steps)
    finish(figures, render_one(figures), args.json)


if __name__ == "__main__":
    main()
