"""The settings that the families share that ask with a history."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from recsys_tfrs.models.family import FamilyConfig

#: Items hidden from the query in training, see `HistoryConfig.hide`.
Hide = Literal["any", "newest", "around"]

ConfigT = TypeVar("ConfigT", bound="HistoryConfig")


class HistoryConfig(FamilyConfig):
    """Settings of every family that asks with a history."""

    compiles: ClassVar[bool] = False  # histories are summed by a sparse product

    dim: int = Field(128, ge=1, description="Size of query and candidate vectors of a member.")
    members: int = Field(
        1,
        ge=1,
        description="Pairs of towers trained side by side, each from initial weights and with hidden items of its own; "
        "scores are the mean of theirs, vectors theirs laid end to end.",
    )
    normalize: bool = Field(True, description="Vectors of length 1, so that scores are cosines.")
    temperature: float = Field(0.2, gt=0, description="Scores are divided by this before the softmax.")
    initial_scale: float = Field(0.02, gt=0, description="Standard deviation of the initial embeddings.")
    hide: Literal["auto", "any", "newest", "around"] = Field(
        "auto",
        description="Items hidden from the query in training: any of a user's; his newest, which makes the model "
        "attend to what came last; or any, with those weighing most, seen and predicted, that lie around a moment "
        "drawn from his history; auto: two of them are tried and validation decides.",
    )
    hide_rate: float = Field(0.6, ge=0, lt=1, description="Share of a history hidden under `any` and `around`.")
    around_boost: float = Field(5.0, ge=0, description="Extra weight in the query of the item nearest to that moment.")
    around_items: float = Field(
        5.0, gt=0, description="Items over which that extra weight, and that of targets, falls to a third."
    )
    around_floor: float = Field(
        0.2, ge=0, description="Weight of the targets farthest from that moment, the nearest weighing 1 more."
    )
    newest_share: float = Field(0.5, ge=0, le=1, description="Share of rows under `newest` whose end is hidden.")
    newest_hide_rate: float = Field(0.3, ge=0, lt=1, description="Share hidden of what comes before that end.")
    newest_horizon: float = Field(10.0, gt=0, description="Items after which a target counts a third, under `newest`.")
    recency_boost: float = Field(
        20.0, ge=0, description="Extra weight of the newest item of a history, under `newest`."
    )
    recency_items: float = Field(5.0, gt=0, description="Items over which that extra weight falls to a third.")
    rating_weight: float = Field(
        0.34,
        ge=0,
        description="History items weigh exp(this x (rating - user's mean) / standard deviation of ratings).",
    )
    target_rating_weight: float = Field(0.22, ge=0, description="The same for the items to predict.")
    empty_history: float = Field(0.05, ge=0, lt=1, description="Share of rows trained as if there were no history.")
    context_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of interactions trained as if nothing were known of the moment of asking."
    )
    objective: str = Field(
        "auto",
        pattern="^(auto|full-softmax|in-batch)$",
        description="Negatives: the whole catalogue, or the batch's items; auto goes by the catalogue's size.",
    )
    mask_positives: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Under the full softmax, share of the members that leave a user's other items out of the softmax "
        "of each of them.",
    )
    log_q: bool = Field(True, description="Correct in-batch negatives for how often items are drawn.")

    @property
    def _ways(self) -> tuple[Hide, ...]:
        """What `hide` = ``auto`` tries, where times are known."""
        return ("any", "newest")

    def variants(self: ConfigT, has_times: bool) -> dict[str, ConfigT]:
        """The settings that validation chooses from, by name; one unless `hide` is left to it."""
        if self.hide != "auto":
            return {self.hide: self}
        ways: tuple[Hide, ...] = self._ways if has_times else ("any",)
        return {way: self.model_copy(update={"hide": way}) for way in ways}
