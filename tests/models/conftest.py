"""Every test of the contract that asks for a ``way`` runs under each of the family's ways of training."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("contracts.model_contract")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hand the ways of the family's test class to the tests it inherits."""
    if "way" in metafunc.fixturenames:
        ways = metafunc.cls.ways
        metafunc.parametrize("way", ways, ids=["-".join(map(str, way.values())) for way in ways])
