"""Each report's system stands in its recipe as the report describes it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from training.datasets.nih import FINDINGS
from training.recipe_files import Sweep, read_recipe, read_sweep, shipped_recipes

SWEPT = ("chestmnist_cnn", "eleven_experiments", "six_convolutions", "spark_features")
REPORTED = (*SWEPT, "healthy_unhealthy")


def sweep_of(name: str, *presets: str) -> Sweep:
    return read_sweep(Path(name), *presets)


def stacks(name: str) -> list[tuple[str, ...]]:
    presets = tomllib.loads(shipped_recipes()[name].read_text())["presets"]
    return [(), *((preset,) for preset in presets), ("cpu", "image"), ("small", "image")]


@pytest.mark.parametrize("name", REPORTED)
def test_every_stack_of_presets_is_valid_and_an_image_split_is_one_whatever_it_lies_on(name: str) -> None:
    for presets in stacks(name):
        recipe = read_recipe(Path(name), *presets)
        assert (recipe.data.split == "image") == ("image" in presets)
        if name in SWEPT:
            assert read_sweep(Path(name), *presets).runs


def test_report_000_sweeps_five_learning_rates_of_one_small_network_over_fourteen_sigmoids() -> None:
    sweep = sweep_of("chestmnist_cnn")
    network, (stage,) = sweep.base.network, sweep.base.scratch
    assert (network.filters, network.block_dropout, network.hidden, network.dropout) == (
        (32, 64, 128),
        0.2,
        (128,),
        0.4,
    )
    assert (network.any_finding, set(network.findings)) == (False, set(FINDINGS))
    assert (sweep.base.preprocessing.size, sweep.base.data.reader, stage.optimiser) == (28, "medmnist", "adam")
    assert [swept.recipe.scratch[0].learning_rate for swept in sweep.runs] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    assert read_recipe(Path("chestmnist_cnn"), "cpu", "weighted").loss.class_weights == "balanced"


def test_report_001_has_eleven_experiments_that_differ_as_its_figure_3_says() -> None:
    sweep = sweep_of("eleven_experiments")
    networks = [swept.recipe.network for swept in sweep.runs]
    assert [network.filters for network in networks[:8]] == [(32, 64, 128)] * 5 + [
        (128, 256, 512),
        (64, 128),
        (256, 512),
    ]
    assert [network.block_dropout for network in networks[:8]] == [0, 0, 0, 0, 0.2, 0.3, 0.2, 0.3]
    assert [network.architecture for network in networks[8:]] == ["mobilenet", "densenet121", "densenet121"]
    stages = [swept.recipe.scratch[0] for swept in sweep.runs]
    assert [stage.batch_size for stage in stages] == [32, 32, 64, 64] + [32] * 7
    assert [stage.monitor for stage in stages[:4]] == ["accuracy", "recall"] * 2
    assert [stage.patience is None for stage in stages] == [False] * 4 + [True] * 7
    assert [stage.epochs for stage in stages] == [20] * 10 + [40]
    assert {stage.batches_per_epoch for stage in stages} == {100}
    assert sweep.base.evaluation.findings_threshold == 0.2
    augmentation = sweep.base.augmentation
    assert (augmentation.flip, augmentation.fill, sweep.base.network.normalisation) == (0.5, "reflect", "film")


def test_report_002_trains_the_head_for_500_epochs_and_the_last_block_for_5() -> None:
    recipe = read_recipe(Path("healthy_unhealthy"))
    assert (recipe.network.architecture, recipe.network.hidden, recipe.network.dropout) == ("resnet50", (512,), 0.4)
    assert (recipe.network.activation, recipe.network.any_finding, recipe.network.findings) == ("tanh", True, ())
    assert recipe.head is not None
    (stage,) = recipe.finetune
    assert (recipe.head.epochs, stage.learns, stage.epochs, stage.batch_size) == (500, "last_block", 5, 32)
    assert {recipe.head.optimiser, stage.optimiser} == {"sgd"}
    assert not any(recipe.augmentation.model_dump(exclude={"fill"}).values())
    assert (recipe.preprocessing.size, recipe.data.split) == (512, "patient")


def test_report_003_trains_six_convolutions_for_ten_to_fifty_epochs() -> None:
    sweep = sweep_of("six_convolutions")
    network, (stage,) = sweep.base.network, sweep.base.scratch
    assert (len(network.filters), len(network.hidden), network.any_finding) == (6, 1, True)
    assert (network.activation, stage.batch_size, stage.optimiser) == ("relu", 64, "adam")
    assert network.dropout > 0
    assert sweep.base.evaluation.activation_maps
    assert [swept.recipe.scratch[0].epochs for swept in sweep.runs] == [10, 20, 30, 40, 50]


def test_report_004_learns_three_layers_on_frozen_features_age_and_sex() -> None:
    sweep = sweep_of("spark_features")
    network, head = sweep.base.network, sweep.base.head
    assert (network.architecture, network.hidden, network.age_sex, len(network.findings)) == (
        "resnet50",
        (128, 32),
        True,
        14,
    )
    assert head is not None
    assert (head.batch_size, head.epochs, head.schedule, head.monitor, head.keep) == (10, 50, "plateau", "loss", "best")
    assert (head.plateau_patience, head.plateau_factor, head.epsilon) == (1, 0.2, 1e-8)
    assert (sweep.base.loss.class_weights, sweep.base.features.flip) == ("frequency", 0.5)
    assert (sweep.base.data.oldest_years, sweep.base.data.unreadable_images) == (123, "skip")
    assert not sweep.base.finetune
    rates = {
        (swept.recipe.head.learning_rate, swept.recipe.head.weight_decay) for swept in sweep.runs if swept.recipe.head
    }
    assert (0.0003, 0.00001) in rates
    assert len(rates) == 9
