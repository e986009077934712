"""Presets are laid over each other in order; a sweep is kept apart from the recipe it varies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from training.errors import RecipeError
from training.recipe_files import read_recipe, read_sweep

BASE = """
seed = 1
bundle = { name = "b", version = "0.0.1", training_data = "drawings", licence = "Apache-2.0" }
data = { train = 0.4, select = 0.2, calibrate = 0.2, test = 0.2 }
preprocessing = { size = 32 }
network = { hidden = 8, dropout = 0.1 }

[[scratch]]
learns = "whole"
epochs = 2
batch_size = 8
optimiser = "sgd"
learning_rate = 0.1

[presets.smaller.preprocessing]
size = 28

[presets.longer]
preprocessing = { size = 64 }
scratch = [{ learns = "whole", epochs = 9, batch_size = 8, optimiser = "sgd", learning_rate = 0.1 }]

[presets.other.sweep]
grid = { seed = [1, 2] }
"""

SWEEP = """
[sweep]
choose = "loss"
[sweep.grid]
"scratch.0.learning_rate" = [0.1, 0.2]
seed = [3]
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "a recipe.toml"
        path.write_text(text)
        return path

    return written


def varied(key: str, value: str = "1") -> str:
    return f'{BASE}\n[[sweep.variations]]\nname = "odd"\nset = {{ "{key}" = {value} }}\n'


def test_presets_are_applied_in_the_order_they_are_named(write: Callable[[str], Path]) -> None:
    path = write(BASE)
    assert read_recipe(path, "smaller", "longer").preprocessing.size == 64
    assert read_recipe(path, "longer", "smaller").preprocessing.size == 28
    assert read_recipe(path, "longer", "smaller").scratch[0].epochs == 9


def test_a_sweep_does_not_touch_the_digest_of_its_recipe(write: Callable[[str], Path]) -> None:
    alone = read_recipe(write(BASE)).sha256
    path = write(BASE + SWEEP)
    assert read_recipe(path).sha256 == alone == read_sweep(path).base.sha256


def test_a_grid_is_every_combination_by_name_and_value(write: Callable[[str], Path]) -> None:
    sweep = read_sweep(write(BASE + SWEEP))
    assert [swept.name for swept in sweep.runs] == ["learning_rate=0.1,seed=3", "learning_rate=0.2,seed=3"]
    assert [(swept.recipe.scratch[0].learning_rate, swept.recipe.seed) for swept in sweep.runs] == [(0.1, 3), (0.2, 3)]
    assert sweep.choose == "loss"
    assert sweep.base.seed == 1


def test_a_grid_varies_whole_lists_too(write: Callable[[str], Path]) -> None:
    grid = '"network.hidden" = [[8], [16, 8]], "network.dropout" = [0.1]'
    sweep = read_sweep(write(f"{BASE}\n[sweep]\ngrid = {{ {grid} }}"))
    assert [swept.name for swept in sweep.runs] == ["hidden=8,dropout=0.1", "hidden=16+8,dropout=0.1"]
    assert [swept.recipe.network.hidden for swept in sweep.runs] == [(8,), (16, 8)]


def test_a_sweep_of_a_preset_replaces_the_other_one(write: Callable[[str], Path]) -> None:
    sweep = read_sweep(write(BASE + SWEEP), "other")
    assert [swept.name for swept in sweep.runs] == ["seed=1", "seed=2"]
    assert sweep.choose == "auc"


def test_a_variation_sets_whole_lists_and_what_was_not_set(write: Callable[[str], Path]) -> None:
    (swept,) = read_sweep(write(varied("scratch.0.patience"))).runs
    assert swept.recipe.scratch[0].patience == 1
    (swept,) = read_sweep(write(varied("network.hidden", "[16, 8]"))).runs
    assert swept.recipe.network.hidden == (16, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE, "has no [sweep]"),
        (
            varied("network.hiden"),
            "variation 'odd': network.hiden: unknown key 'hiden'; there is architecture, filters",
        ),
        (varied("netwrok.hidden"), "variation 'odd': netwrok.hidden: unknown key 'netwrok'"),
        (varied("scratch.1.epochs"), "variation 'odd': scratch.1.epochs: '1' is no index of a list of 1"),
        (varied("scratch.first.epochs"), "scratch.first.epochs: 'first' is no index"),
        (varied("scratch.-1.epochs"), "scratch.-1.epochs: '-1' is no index"),
        (varied("head.epochs"), "variation 'odd': head.epochs: unknown key 'epochs'; there is nothing"),
        (varied("seed.more"), "variation 'odd': seed.more: unknown key 'more'"),
        (varied("scratch.0.epochs", "0"), "variation 'odd': scratch.0.epochs: Input should be greater"),
        (varied("network.findings", '["Mass"]'), "variation 'odd': recipe: Value error, network.findings and"),
        (f"{BASE}\n[sweep]\nchoice = 1", "sweep.choice: unknown key"),
        (f"{BASE}\n[sweep]\nchoose = 'luck'\ngrid = {{ seed = [1] }}", "sweep.choose: "),
        (f"{BASE}\n[sweep]\nchoose = 'loss'", "sweep: Value error, give either variations or a grid"),
        (varied("seed") + '[[sweep.variations]]\nname = "odd"\nset = {}\n', "two variations have one name"),
        (f"{BASE}\n[sweep]\ngrid = {{ seed = [] }}", "sweep: Value error, the grid has no value for seed"),
        (f"{BASE}\n[sweep]\ngrid = {{ 'bundle.licence' = ['a b'] }}", "would be called 'licence=a b'; give variations"),
        (varied("seed").replace('"odd"', '"../odd"'), "sweep.variations.0.name: String should match"),
        (varied("data.split", '"image"'), "variation 'odd' changes [data], but runs are compared on the same films"),
        (
            f"{BASE}\n[sweep]\nchoose = 'loss'\ngrid = {{ 'loss.any_weight' = [1.0, 2.0] }}",
            "variation 'any_weight=2.0' changes [loss], but with choose",
        ),
    ],
)
def test_a_faulty_sweep_is_refused_by_variation_and_key(write: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_sweep(write(text))
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["presets = 3", "[presets]\ncpu = 64"])
def test_a_preset_that_is_no_table_is_refused(write: Callable[[str], Path], text: str) -> None:
    with pytest.raises(RecipeError, match="presets: every preset is a table"):
        read_recipe(write(text), "cpu")


def test_a_faulty_sweep_is_refused_by_run_too(write: Callable[[str], Path]) -> None:
    with pytest.raises(RecipeError, match=r"sweep\.choice: unknown key"):
        read_recipe(write(f"{BASE}\n[sweep]\nchoice = 1"))
