"""The trained network made ready for a graph: batch normalisation folded into convolutions, weights rounded.

Both happen in torch, so that the exported graph can be held against exactly the network it came from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.networks.backbone import Backbone
from training.networks.network import TriageNetwork

# Biases and scales stay in float32: they are few, and rounding them costs more than their bytes are worth.
HALVED_FROM: Final = 1024


def prepare_for_export(network: TriageNetwork, *, half_precision_weights: bool) -> TriageNetwork:
    """Return a copy in evaluation mode with batch normalisation folded in and, if asked, weights rounded to float16.

    Folded is what directly follows a convolution that nothing else reads. DenseNet normalises before most of its
    convolutions, where zeros of the padding come between the two: there it stays.
    """
    prepared: TriageNetwork = copy.deepcopy(network).cpu().eval()
    for convolution, normalisation in list(_foldable(prepared.backbone)):
        _fold(prepared.backbone, convolution, normalisation)
    if half_precision_weights:
        with torch.no_grad():
            for parameter in prepared.parameters():
                if parameter.numel() >= HALVED_FROM:
                    parameter.copy_(parameter.half().float())
    return prepared


class _MapsTracer(fx.Tracer):
    traced_func_name = "maps"


def _foldable(backbone: Backbone) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution and the batch normalisation that alone reads it."""
    modules = dict(backbone.named_modules())
    for node in _MapsTracer().trace(backbone).nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if source.op == "call_module" and isinstance(modules[source.target], nn.Conv2d) and len(source.users) == 1:
            yield source.target, node.target


def _fold(backbone: Backbone, convolution: str, normalisation: str) -> None:
    conv, norm = backbone.get_submodule(convolution), backbone.get_submodule(normalisation)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    backbone.set_submodule(convolution, fuse_conv_bn_eval(conv, norm))
    backbone.set_submodule(normalisation, nn.Identity())
