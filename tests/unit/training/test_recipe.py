"""A recipe is read whole or refused by the name of its faulty key."""

from __future__ import annotations

from pathlib import Path

import pytest

import training
from training.errors import RecipeError
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
    for word in ("Command", "expects", "F3", "+-", "minutes", "cores"):
        assert word in head


def test_the_shipped_recipe_is_the_system_of_report_002() -> None:
    recipe = read_recipe(SHIPPED)
    assert (recipe.network.architecture, recipe.network.hidden, recipe.network.dropout) == ("resnet50", 512, 0.4)
    (stage,) = recipe.finetune
    assert (recipe.head.epochs, stage.learns, stage.epochs, stage.optimiser) == (500, "last_block", 5, "sgd")
    assert recipe.network.findings == ()
    assert recipe.preprocessing.size == 512
    assert recipe.data.split == "patient"


def test_the_flagship_learns_fourteen_findings_and_every_preset_of_it_is_valid() -> None:
    recipe, cpu, small = (read_recipe(Path("triage"), preset) for preset in (None, "cpu", "small"))
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
    assert preset.bundle.licence == recipe.bundle.licence
    assert preset.sha256 != recipe.sha256


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="no preset 'gpu'; it has: cpu"):
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
        ("train = 0.70", "train = 0.60", "data: .*must be 1, not 0.9"),
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


def test_a_shipped_recipe_goes_by_its_name() -> None:
    assert read_recipe(Path("healthy_unhealthy")) == read_recipe(SHIPPED)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        read_recipe(tmp_path / "absent.toml")
