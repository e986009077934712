"""Where a network can run, and which of these places this onnxruntime offers. Knows neither graphs nor films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from model.errors import ProviderUnavailable


class Provider(StrEnum):
    """Where the network runs.

    ``auto`` takes CUDA where it can be loaded, else the CPU. The others are taken by their names alone: TensorRT needs
    minutes to build an engine, and OpenVINO is another build of onnxruntime, an older one.
    """

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"

    @property
    def is_gpu(self) -> bool:
        """Whether films go to another memory than the processor's, and gain from company there."""
        return self in (Provider.CUDA, Provider.TENSORRT)


ORT_NAMES: Final[Mapping[Provider, str]] = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
}
_AUTOMATIC: Final = (Provider.CUDA, Provider.CPU)


def provider_order(provider: Provider, available: Sequence[str]) -> tuple[Provider, ...]:
    """Return the providers to try, best first; ``available`` holds onnxruntime's own names.

    Raises
    ------
    ProviderUnavailable
        If a named provider is not in this build of onnxruntime, or it has none that ``auto`` would take.
    """
    order = _AUTOMATIC if provider is Provider.AUTO else (provider,)
    offered = tuple(choice for choice in order if ORT_NAMES[choice] in available)
    if not offered:
        raise ProviderUnavailable(
            f"provider '{provider}' is not in this onnxruntime, which offers: {', '.join(available)}; "
            f"install the extra that carries it, or choose provider 'auto'"
        )
    return offered
