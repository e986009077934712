"""What a training run is asked to do: frozen objects with bounds, parsed at the edge by ``recipe_files``.

An unknown key is an error that names the key. The resolved recipe is written into the run and its sha256 into the
bundle, so that a figure can always be traced to the values behind it.
"""

from training.recipe.data import ColumnsRecipe, DataRecipe
from training.recipe.fit import AugmentationRecipe, AveragingRecipe, FitRecipe, PretrainRecipe, StageRecipe
from training.recipe.judging import (
    F3_POINT,
    EvaluationRecipe,
    ExportRecipe,
    GateRecipe,
    ThresholdRecipe,
    certified_name,
    cost_name,
    expected_name,
)
from training.recipe.network import Architecture, FeaturesRecipe, LossRecipe, NetworkRecipe
from training.recipe.sweep import SweepRecipe, VariationRecipe
from training.recipe.whole import BundleRecipe, Recipe

__all__ = [
    "F3_POINT",
    "Architecture",
    "AugmentationRecipe",
    "AveragingRecipe",
    "BundleRecipe",
    "ColumnsRecipe",
    "DataRecipe",
    "EvaluationRecipe",
    "ExportRecipe",
    "FeaturesRecipe",
    "FitRecipe",
    "GateRecipe",
    "LossRecipe",
    "NetworkRecipe",
    "PretrainRecipe",
    "Recipe",
    "StageRecipe",
    "SweepRecipe",
    "ThresholdRecipe",
    "VariationRecipe",
    "certified_name",
    "cost_name",
    "expected_name",
]
