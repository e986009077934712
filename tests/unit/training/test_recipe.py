"""A recipe is read whole or refused by the name of its faulty key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import training
from tests.support.training_runs import tiny_recipe
from training.errors import RecipeError
from training.recipe import Recipe
from training.recipe_files import read_recipe

RECIPES = Path(training.__file__).parent / "recipes"
SHIPPED = RECIPES / "healthy_unhealthy.toml"


def changed(directory: Path, old: str, new: str) -> Path:
    text = SHIPPED.read_text()
    assert old in text
    path = directory / "changed.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid_and_says_what_to_expect(path: Path) -> None:
    read_recipe(path)
    head = path.read_text().split("\n\n")[0]
    for word in ("Command", "expects", "minutes", "cores"):
        assert word in head


def test_the_flagship_learns_fourteen_findings_and_every_preset_of_it_is_valid() -> None:
    recipe, cpu, small = (read_recipe(Path("triage"), *presets) for presets in ((), ("cpu",), ("small",)))
    assert len(recipe.network.findings) == 14
    assert (recipe.loss.any_weight, recipe.loss.findings_weight) == (0.5, 1.0)
    assert [(stage.learns, stage.size or recipe.preprocessing.size) for stage in recipe.finetune] == [
        ("last_block", 320),
        ("whole", 320),
        ("whole", 448),
    ]
    assert recipe.sizes == (448, 320)
    assert recipe.data.official_test
    assert recipe.averaging.members == 3
    assert recipe.export.variants == ("fp32", "int8")
    for preset in (cpu, small):
        assert preset.network.findings == recipe.network.findings
        assert not preset.data.official_test
        assert preset.pretrain is not None
        assert preset.pretrain.size == preset.preprocessing.size


def test_a_preset_overrides_only_what_it_names() -> None:
    recipe, preset = read_recipe(SHIPPED), read_recipe(SHIPPED, "cpu")
    assert preset.preprocessing.size == 128
    assert preset.network == recipe.network
    assert preset.bundle.remarks == recipe.bundle.remarks
    assert preset.sha256 != recipe.sha256


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="no preset 'gpu'; it has: image, cpu, small"):
        read_recipe(SHIPPED, "gpu")


def test_comments_and_order_do_not_change_the_digest(tmp_path: Path) -> None:
    path = changed(tmp_path, "hidden = 512\ndropout = 0.4", "# the report's own\ndropout = 0.4\nhidden = 512")
    assert read_recipe(path).sha256 == read_recipe(SHIPPED).sha256


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("hidden = 512", "hiden = 512", r"network\.(hidden|hiden)"),
        ("size = 512", "size = 512\ncolour = true", r"preprocessing\.colour: unknown key"),
        ("dropout = 0.4", "dropout = 1.4", r"network\.dropout: .*less than 1"),
        ("seed = 2017", "", "seed: Field required"),
        ("train = 0.66", "train = 0.56", "data: .*must be 1, not 0.9"),
        ("epochs = 500", "epochs = inf", r"head\.epochs"),
        (
            'default = "sens95"',
            'default = "sens99"',
            "threshold: .*default is 'sens99', but the points are: f3, sens95",
        ),
        ("certified = [0.95]", "certified = [0.95, 0.9500001]", "threshold: .*name a point twice: f3, sens95, sens95"),
        ("[head]", "[head", "is not TOML"),
        ("hidden = 512", 'hidden = 512\nfindings = ["Mass"]', "network.findings and loss.findings_weight go together"),
        ('learns = "last_block"', 'learns = "everything"', r"finetune\.0\.learns"),
    ],
)
def test_a_faulty_recipe_is_refused_by_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        read_recipe(changed(tmp_path, old, new))


ALONE: dict[str, Any] = {
    "network": {"any_finding": False, "findings": ["Mass"]},
    "loss": {"any_weight": 0, "findings_weight": 1},
}
PLAIN = {"architecture": "convolutional", "filters": [4]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scratch": {"schedule": "plateau", "warmup": 0.1}}, r"scratch\.0: .*plateau has no warmup"),
        ({"network": {"pooling": "flatten"}, "scratch": {"size": 48}}, "flattened features have one size"),
        ({"network": ALONE["network"], "loss": {"findings_weight": 1}}, "any_finding and loss.any_weight go together"),
        ({"network": {"any_finding": False}}, "network: .*or nothing is answered"),
        ({"loss": {"any_weight": 0}}, "loss: .*nothing would be learnt"),
        ({"loss": {"class_weights": "balanced"}}, "loss: .*class_weights weigh findings, but findings_weight is 0"),
        ({"scratch": {"monitor": "findings_auc"}}, "findings_auc.* watches network.findings, of which there are none"),
        ({"head": {"monitor": "findings_auc"}}, "findings_auc.* watches network.findings, of which there are none"),
        ({"network": {"architecture": "convolutional"}}, "network: .*convolutional and filters go together"),
        ({"network": {"filters": [4]}}, "network: .*convolutional and filters go together"),
        ({"network": {"block_dropout": 0.1}}, "network: .*block_dropout is for architecture convolutional"),
        ({"network": {"hidden": 0}}, r"network\.hidden\.0: .*greater than or equal to 1"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny_recipe(**changes)


def test_what_goes_together_is_taken_together() -> None:
    recipe = tiny_recipe(**ALONE | {"scratch": {"monitor": "findings_auc", "schedule": "plateau"}})
    assert recipe.scratch[0].monitor == "findings_auc"
    assert tiny_recipe(network=PLAIN | {"pooling": "flatten", "hidden": []}).network.hidden == ()


def test_a_recipe_in_which_nothing_learns_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing learns: give head, finetune or scratch"):
        Recipe.model_validate(tiny_recipe().model_dump() | {"head": None, "finetune": [], "scratch": []})


def test_a_shipped_recipe_goes_by_its_name() -> None:
    assert read_recipe(Path("healthy_unhealthy")) == read_recipe(SHIPPED)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        read_recipe(tmp_path / "absent.toml")
