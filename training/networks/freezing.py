"""Which layers learn, and what the others do meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal, TypeAlias

from torch import nn

from training.networks.network import TriageNetwork

Learns: TypeAlias = Literal["head", "last_block", "last_stage", "whole"]


def freeze_below(network: TriageNetwork, learns: Learns) -> None:
    """Leave the head to learn, and with it nothing, the backbone's last block, its last stage, or all of it."""
    learning: dict[Learns, Iterable[nn.Module]] = {
        "head": (),
        "last_block": network.last_block,
        "last_stage": network.stages[-1],
        "whole": chain.from_iterable(network.stages),
    }
    network.backbone.requires_grad_(False)
    for module in learning[learns]:
        module.requires_grad_(True)


def enter_training(network: nn.Module) -> None:
    """Switch to training mode, but keep frozen layers in evaluation mode, and with them the dropout between them.

    Frozen batch normalisation in training mode would drift from the statistics that its weights were trained with.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
