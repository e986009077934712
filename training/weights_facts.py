"""What a weights file says of its own making: the sidecar that ``cxr-train pretrain`` writes beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import RecipeError
from training.provenance import weights_sha256


class WeightsFacts(BaseModel):
    """Where pretrained weights come from.

    ``films_sha256`` is the digest of the tensors they were learnt from, in the order of the files' names; ``recipe`` is
    the resolved ``[pretrain]`` section; ``sha256`` is that of the weights file, which ties the two files together.
    ``twins_left_out`` counts films that the labelled collection holds too; ``None`` where nobody looked for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    films: int
    films_sha256: str
    twins_left_out: int | None = None
    recipe: dict[str, object]
    recipe_sha256: str
    seed: int
    final_loss: float
    commit: str
    libraries: dict[str, str]
    sha256: str


def sidecar_of(weights: Path) -> Path:
    """Return where the facts of a weights file are: ``backbone.json`` beside ``backbone.pth``."""
    return weights.with_suffix(".json")


def read_weights_facts(weights: Path) -> WeightsFacts | None:
    """Return the facts beside a weights file, or ``None`` where it has no sidecar (ImageNet files have none).

    Raises
    ------
    RecipeError
        If the sidecar was not written by ``cxr-train pretrain``, or describes other weights.
    """
    sidecar = sidecar_of(weights)
    if not sidecar.exists():
        return None
    try:
        facts = WeightsFacts.model_validate_json(sidecar.read_bytes())
    except (OSError, ValidationError) as error:
        raise RecipeError(f"{sidecar} lies beside the weights but does not say where they come from") from error
    if facts.sha256 != weights_sha256(weights):
        raise RecipeError(f"{sidecar} describes other weights than {weights}: its sha256 differs")
    return facts
