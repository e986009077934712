"""Which studies are drawn: by a number that is theirs for ever, whatever was decided of them."""

from __future__ import annotations

from scipy.stats import binomtest

from services.jobs.standings import Draw

STUDIES = [f"1.2.{number}" for number in range(20_000)]


def drawn(seed: int, share: float, site: str = "default") -> set[str]:
    draw = Draw(seed=seed, share=share)
    return {study for study in STUDIES if draw.takes(site, study)}


def test_the_share_is_drawn() -> None:
    assert binomtest(len(drawn(3, 0.02)), len(STUDIES), 0.02).pvalue > 0.001


def test_every_gateway_draws_the_same_and_another_site_or_seed_others() -> None:
    assert drawn(3, 0.1) == drawn(3, 0.1)
    for others in (drawn(4, 0.1), drawn(3, 0.1, "north")):
        # Independent draws share a tenth of a tenth.
        assert binomtest(len(drawn(3, 0.1) & others), len(STUDIES), 0.01).pvalue > 0.001


def test_larger_share_draws_those_of_the_smaller_one_and_more() -> None:
    assert drawn(3, 0.1) < drawn(3, 0.2)


def test_share_of_nothing_draws_none_and_of_all_all() -> None:
    assert drawn(3, 0.0) == set()
    assert drawn(3, 1.0) == set(STUDIES)
