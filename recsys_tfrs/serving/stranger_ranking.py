"""What `stranger` looks for in an export that ranks: the model's own predictions, and answers without a part."""

from __future__ import annotations

import numpy as np

from .stranger_export import CheckError, Export, apart


def predictions(export: Export) -> str:
    """`serving_default` predicts what the run itself predicted of recorded rows, and every part speaks."""
    out = export.call("serving_default", export.expected["inputs"])
    largest, count = 0.0, 0
    for name, values in export.expected["outputs"].items():
        largest = max(largest, apart(out[name], values))
        count += len(values)
    if largest > export.expected["tolerance"]:
        raise CheckError(f"the largest difference to the run's own predictions is {largest:.2g} in {count}")
    everybody = "+".join(export.manifest["parts"])
    if quiet := sorted({said.decode() for said in out["parts"]} - {everybody}):
        raise CheckError(f"instead of {everybody} only {quiet} spoke: a part is not finite")
    return f"{count} predictions as the run's own, largest difference {largest:.2g}"


def silent_parts(export: Export) -> str:
    """Without any one of its parts, and without all of them, a model answers and says who spoke."""
    parts = export.manifest["parts"]
    for left_out in (*([part] for part in parts), parts):
        out = export.call("serving_default", {**export.expected["inputs"], "without": [left_out]})
        spoke = "+".join(part for part in parts if part not in left_out)
        if {said.decode() for said in out["parts"]} != {spoke}:
            raise CheckError(f"without {', '.join(left_out)} the parts that spoke are not said to be {spoke!r}")
        if not np.isfinite(out["score"]).all():
            raise CheckError(f"without {', '.join(left_out)} there is no score")
    return f"answers without {', '.join(parts)}"
