"""What is random follows from seed and place alone, and no two places share it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from training.learning.randomness import Draw, mixed_seed, shuffled_batches


def test_batches_cover_every_film_once_and_depend_on_seed_and_epoch_alone() -> None:
    batches = shuffled_batches(22, 8, seed=1, epoch=2)
    assert sorted(torch.cat(batches).tolist()) == list(range(22))
    assert torch.equal(torch.cat(batches), torch.cat(shuffled_batches(22, 8, seed=1, epoch=2)))
    assert not torch.equal(torch.cat(batches), torch.cat(shuffled_batches(22, 8, seed=1, epoch=3)))


def test_a_last_batch_too_small_for_two_films_a_rank_is_left_out() -> None:
    assert [len(batch) for batch in shuffled_batches(17, 8, seed=1, epoch=1)] == [8, 8]
    assert [len(batch) for batch in shuffled_batches(19, 8, seed=1, epoch=1, ranks=2)] == [8, 8]
    assert [len(batch) for batch in shuffled_batches(20, 8, seed=1, epoch=1, ranks=2)] == [8, 8, 4]


def test_every_purpose_and_place_of_a_run_has_its_own_seed() -> None:
    def places() -> Iterator[int]:
        for draw in Draw:
            for seed in range(4):
                for epoch in range(4):
                    yield mixed_seed(draw, seed, epoch)
                    yield from (mixed_seed(draw, seed, epoch, batch) for batch in range(20))

    assert len(set(places())) == len(Draw) * 4 * 4 * 21
