"""What may be said of a network's form, in one voice for page and card, from the recipe's values alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
    "mobilenet": "MobileNet (version 1)",
}
_POOLINGS: Final = {"average": "average pooling", "flatten": "flattened maps"}
_NORMALISATIONS: Final = {
    "gray": "one mean and deviation for all films",
    "imagenet": "gray copied to three channels, ImageNet's mean and deviation of each",
    "film": "each film's own mean and deviation",
}


def network_sentence(network: Mapping[str, Any]) -> str:
    """Return backbone, pooling, hidden layers and answers of a recipe's section ``network``, as one line."""
    layers = "-".join(f"{network['activation']}-{width}" for width in network["hidden"])
    parts = [_backbone(network), _POOLINGS[network["pooling"]]]
    if network["age_sex"]:
        parts.append("age and sex joined to the features")
    parts += [layers] if layers else ["no hidden layer"]
    return ", ".join([*parts, _answers(network)])


def normalisation_words(network: Mapping[str, Any]) -> str:
    """Return what the graph does to pixels before the first convolution."""
    return _NORMALISATIONS[network["normalisation"]]


def rule_sentence(network: Mapping[str, Any]) -> str:
    """Return what the probability of *unhealthy* rests on."""
    if network["any_finding"]:
        return "The network answers *any finding* itself; findings, where it has them, are answers beside it."
    return (
        f"The network answers {len(network['findings'])} findings and nothing else. *Unhealthy* is 1 minus the product "
        "of their chances to be absent, as if they came independently, then calibrated; trouble that is none of these "
        "findings has no answer of its own."
    )


def age_sex_sentence(network: Mapping[str, Any]) -> str:
    """Return how age and sex enter; empty where they do not."""
    if not network["age_sex"]:
        return ""
    return (
        "Age (in years / 100) and sex (1 male, 0 female) are inputs beside the film and optional: what is unknown "
        "counts as the mean of the train part. A score may differ between two patients with the same film."
    )


def explained(network: Mapping[str, Any]) -> str:
    """Return what number the class activation map adds up to."""
    if network["any_finding"]:
        return "the difference of the two logits"
    return "the log-odds of any finding before calibration"


def _backbone(network: Mapping[str, Any]) -> str:
    if network["architecture"] != "convolutional":
        return _NAMES[network["architecture"]]
    filters = "-".join(str(width) for width in network["filters"])
    dropout = f" and dropout {network['block_dropout']:g}" if network["block_dropout"] else ""
    return f"{len(network['filters'])} convolutions 3 x 3 of {filters} filters, each with ReLU, max pooling{dropout}"


def _answers(network: Mapping[str, Any]) -> str:
    count = len(network["findings"])
    if network["any_finding"]:
        return "softmax-2" + (f" and {count} findings" if count else "")
    return f"{count} sigmoids"
