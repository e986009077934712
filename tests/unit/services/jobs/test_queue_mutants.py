"""The mutants of the bar still fit the scripts; found out here, in a second, when a script changes."""

from __future__ import annotations

import pytest

from services.jobs import lua
from tests.support.queue_checks import CHECKS, DELIVERY_CHECKS
from tests.support.queue_mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_changes_a_script(mutant: Mutant) -> None:
    assert any(mutant.source(name) != lua.source(name) for name in lua.NAMES)
    assert mutant.directed is None or mutant.directed in {*CHECKS, *DELIVERY_CHECKS}


def test_mutants_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 8
