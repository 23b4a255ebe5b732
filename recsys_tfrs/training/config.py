"""How a model is fitted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsys_tfrs.config import Section


class TrainingConfig(Section):
    """Settings of fitting, the same for every family."""

    epochs: int = Field(100, ge=1, description="Most passes over the training interactions.")
    batch_size: int = Field(8_192, ge=1, description="Interactions in a batch.")
    learning_rate: float = Field(2e-3, gt=0, description="Step size of Adam.")
    optimizer: Literal["auto", "adam", "lazy-adam"] = Field(
        "auto",
        description="lazy-adam changes only the rows of a table that a step looks up; auto: that where a table has "
        "more than 100,000 rows.",
    )
    learning_rate_decay: Literal["none", "linear"] = Field(
        "none",
        description="linear: the step size falls to 0 over `epochs`; a refit of fewer epochs stops where the best "
        "epoch was.",
    )
    average_decay: float = Field(
        0.99, ge=0, lt=1, description="Decay of the moving average of the weights that is kept; 0: no averaging."
    )
    metric: str = Field(
        "auto",
        description="Validation metric that early stopping and choices between variants go by; auto: what the family "
        "is trained for, which for retrieval is ndcg@100, a deep cutoff varying less with the luck of a few pairs. Of "
        "rmse, mae, logloss and ece less is better.",
    )
    validate_every: int = Field(2, ge=1, description="Epochs between looks at the validation part.")
    patience: int = Field(6, ge=1, description="Looks without improvement before training stops.")
    refit: bool | Literal["auto"] = Field(
        True,
        description="After the best epoch is known, train once more from the start on training and validation rows "
        "together for that many epochs, as the baselines are; auto: not where the validation rows are less than a "
        "fiftieth of the training rows, as the last items of long histories are (ranking models: as true).",
    )
    checkpoint_seconds: float = Field(10.0, ge=0, description="Seconds between checkpoints, taken at epoch ends.")
    jit_compile: bool = Field(False, description="Compile the training step with XLA.")
    mixed_precision: bool = Field(
        False, description="Compute in bfloat16 where the device is faster there; float16 is never used."
    )
