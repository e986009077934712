"""In how many digits a network is computed, where that is possible, and how far its answers may then move.

Knows neither graphs nor sessions. What less than fp32 means for thresholds is in docs/decisions/0019-precision.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from model.errors import ProviderUnavailable
from model.runtime.provider import Provider


class Precision(StrEnum):
    """What a network is computed in.

    ``auto`` is fp32: what thresholds were certified in. bf16 and fp16 are taken where they are asked for. int8 cannot
    be asked for: a bundle is quantised and certified so, or it is not.
    """

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


_OFFERED: Final[Mapping[Provider, tuple[Precision, ...]]] = {
    Provider.CPU: (Precision.FP32,),
    Provider.OPENVINO: (Precision.FP32, Precision.BF16),
    Provider.CUDA: (Precision.FP32, Precision.FP16),
    Provider.TENSORRT: (Precision.FP32, Precision.BF16, Precision.FP16),
}
# Of a probability. bf16: the largest move of 256 drawn films through a ResNet50 was .0093 (PERFORMANCE.md §A); fp16 has
# eight times as fine a step, and nobody has measured it. What real films did is in the decision's page.
_TOLERATED: Final[Mapping[Precision, float]] = {Precision.BF16: 0.01, Precision.FP16: 0.0025}
_CPU_FACTS: Final = Path("/proc/cpuinfo")
_BF16_INSTRUCTIONS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def offers(provider: Provider, asked: Precision) -> bool:
    """Return whether ``provider`` computes in what was asked for."""
    return asked is Precision.AUTO or asked in _OFFERED[provider]


def precision_of(graph: Precision, asked: Precision, provider: Provider, *, cpu_facts: Path = _CPU_FACTS) -> Precision:
    """Return what a graph of precision ``graph``, fp32 or int8, is computed in on ``provider``.

    An int8 graph is computed as it was certified, its few float operators in fp32, whatever was asked for: a worker
    that is set to bf16 can serve one after the other.

    Raises
    ------
    ProviderUnavailable
        If the provider, or this processor, does not compute in what was asked for. Never falls back silently.
    """
    if not offers(provider, asked):
        capable = ", ".join(f"'{name}'" for name, offered in _OFFERED.items() if asked in offered)
        raise ProviderUnavailable(f"provider '{provider}' does not compute in {asked}; {capable or 'none'} can")
    if asked is Precision.BF16 and not provider.is_gpu and not has_bf16(cpu_facts):
        raise ProviderUnavailable(
            "this processor has no bf16 instructions (avx512_bf16 or amx_bf16): OpenVINO would compute in fp32 and not "
            "say so; choose precision 'auto'"
        )
    if graph is Precision.INT8:
        return Precision.INT8
    return Precision.FP32 if asked is Precision.AUTO else asked


def has_bf16(cpu_facts: Path = _CPU_FACTS) -> bool:
    """Return whether this processor multiplies bf16, by the kernel's list of its features; unknown is no."""
    try:
        text = cpu_facts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not _BF16_INSTRUCTIONS.isdisjoint(text.split())


def golden_tolerance(precision: Precision, certified: float) -> float:
    """Return by how much a golden input's probability may differ from the manifest's.

    ``certified`` is the manifest's own tolerance, which holds for fp32 and int8 as they are.
    """
    return max(certified, _TOLERATED.get(precision, 0.0))


def threshold_margin(precision: Precision) -> float:
    """Return by how much a threshold is lowered: what golden inputs may differ by, beyond fp32 and int8 as certified.

    A lower threshold only flags more; at the one that was certified in fp32, a film could be missed for the precision.
    """
    return _TOLERATED.get(precision, 0.0)
