"""The families that `recsys-tfrs train FAMILY` knows, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from recsys_tfrs.errors import UsageError

#: Family of retrieval models, by its name on the command line -> module of this package.
#:
#: A module has `Config`, a `recsys_tfrs.models.family.FamilyConfig`, and `build`, which makes an untrained
#: `recsys_tfrs.models.retriever.Retriever`. `TRAINING`, where a module has it, holds the family's own defaults of the
#: ``training`` section.
FAMILIES = {
    "mf": "mf",
    "deep-mf": "deep_mf",
    "two-tower": "two_tower",
    "softmax": "softmax",
    "item2vec": "item2vec",
    "gru": "gru",
    "session-cnn": "session_cnn",
}

#: The same of ranking models, whose `build` makes an untrained `recsys_tfrs.models.ranker.Ranker` of a preprocessing
#: layer and targets.
RANKERS = {name: name for name in ("lr", "fm", "dnn", "deepfm", "dcn")}

#: Families that tell attributes of items from their content. `build` makes an untrained model of a decoder and classes.
CONTENT = {"content-cnn": "content_cnn"}


def family_module(family: str) -> ModuleType:
    """Import the module of a family.

    Raises:
      UsageError: there is no such family.
    """
    modules = FAMILIES | RANKERS | CONTENT
    if family not in modules:
        raise UsageError(f"There is no family {family!r}: known are {', '.join(sorted(modules))}.")
    return importlib.import_module(f"recsys_tfrs.models.{modules[family]}")
