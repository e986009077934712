"""What is said of a network's form is what its recipe asks for, whatever the form."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tests.support.reports import simulated_network
from training.recipe import Architecture
from training.reporting.architecture import (
    age_sex_sentence,
    explained,
    network_sentence,
    normalisation_words,
    rule_sentence,
)

FOURTEEN = tuple(f"Finding{number}" for number in range(14))
FINDINGS_ONLY = {"any_finding": False, "findings": FOURTEEN}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"architecture": "resnet50", "hidden": 512, "findings": FOURTEEN},
            "ResNet50, average pooling, tanh-512, softmax-2 and 14 findings",
        ),
        ({"architecture": "resnet18", "hidden": 8}, "ResNet18, average pooling, tanh-8, softmax-2"),
        (
            {"architecture": "resnet50", "hidden": (128, 32), "activation": "relu", "age_sex": True, **FINDINGS_ONLY},
            "ResNet50, average pooling, age and sex joined to the features, relu-128-relu-32, 14 sigmoids",
        ),
        (
            {"architecture": "densenet121", "hidden": (), **FINDINGS_ONLY},
            "DenseNet121, average pooling, no hidden layer, 14 sigmoids",
        ),
        (
            {
                "architecture": "convolutional",
                "filters": (32, 64, 128),
                "block_dropout": 0.2,
                "pooling": "flatten",
                "hidden": 128,
                "activation": "relu",
                **FINDINGS_ONLY,
            },
            "3 convolutions 3 x 3 of 32-64-128 filters, each with ReLU, max pooling and dropout 0.2, flattened maps, "
            "relu-128, 14 sigmoids",
        ),
    ],
)
def test_a_network_is_described_as_its_recipe_asks(values: dict[str, Any], sentence: str) -> None:
    assert network_sentence(simulated_network(**values)) == sentence


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_no_architecture_is_without_a_name(architecture: str) -> None:
    filters = (8,) if architecture == "convolutional" else ()
    assert network_sentence(simulated_network(architecture=architecture, filters=filters))


@pytest.mark.parametrize("normalisation", ["gray", "imagenet", "film"])
def test_no_normalisation_is_without_words(normalisation: str) -> None:
    assert normalisation_words(simulated_network(normalisation=normalisation))


def test_a_network_of_findings_says_how_unhealthy_follows_and_what_its_map_adds_up_to() -> None:
    findings_only, usual = simulated_network(**FINDINGS_ONLY), simulated_network()
    assert "1 minus the product" in rule_sentence(findings_only)
    assert "1 minus the product" not in rule_sentence(usual)
    assert explained(findings_only) == "the log-odds of any finding before calibration"
    assert explained(usual) == "the difference of the two logits"


def test_age_and_sex_are_said_to_be_optional_where_they_enter_and_not_named_where_they_do_not() -> None:
    assert "optional" in age_sex_sentence(simulated_network(age_sex=True))
    assert age_sex_sentence(simulated_network()) == ""
