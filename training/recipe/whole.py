"""The recipe itself: all sections of one training run."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field, model_validator

from model.preprocessing import PreprocessingSpec
from training.recipe.data import DataRecipe
from training.recipe.fit import AugmentationRecipe, AveragingRecipe, FitRecipe, PretrainRecipe, StageRecipe
from training.recipe.judging import EvaluationRecipe, ExportRecipe, GateRecipe, ThresholdRecipe
from training.recipe.network import FeaturesRecipe, LossRecipe, NetworkRecipe
from training.recipe.section import Section


class BundleRecipe(Section):
    """What the published bundle calls itself and says of its data; ``remarks`` go into the card as they are."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    training_data: str
    licence: str
    remarks: tuple[str, ...] = ()


class Recipe(Section):
    """A whole training run.

    ``pretrain`` is read by a command of its own; a run is given what it wrote (``--init``). With given weights the
    stages are frozen features and ``head`` (where there is one), then those of ``finetune``; without, those of
    ``scratch``. A recipe may be for one of the two only.
    """

    seed: int = Field(ge=0)
    bundle: BundleRecipe
    data: DataRecipe
    preprocessing: PreprocessingSpec
    network: NetworkRecipe
    loss: LossRecipe = LossRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    pretrain: PretrainRecipe | None = None
    features: FeaturesRecipe = FeaturesRecipe()
    head: FitRecipe | None = None
    finetune: tuple[StageRecipe, ...] = ()
    scratch: tuple[StageRecipe, ...] = ()
    averaging: AveragingRecipe = AveragingRecipe()
    export: ExportRecipe = ExportRecipe()
    gate: GateRecipe = GateRecipe()
    threshold: ThresholdRecipe = ThresholdRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()

    @model_validator(mode="after")
    def _learns_what_it_answers(self) -> Recipe:
        if bool(self.network.findings) != (self.loss.findings_weight > 0):
            raise ValueError("network.findings and loss.findings_weight go together: name both or neither")
        if self.network.any_finding != (self.loss.any_weight > 0):
            raise ValueError("network.any_finding and loss.any_weight go together: false and 0, or true and more")
        if not self.head and not self.finetune and not self.scratch:
            raise ValueError("nothing learns: give head, finetune or scratch")
        if self.network.pooling == "flatten" and len(self.sizes) > 1:
            raise ValueError("flattened features have one size: leave out the stages' size, or pool by average")
        fits = (self.head, *self.finetune, *self.scratch)
        if not self.network.findings and any(fit and fit.monitor == "findings_auc" for fit in fits):
            raise ValueError('monitor = "findings_auc" watches network.findings, of which there are none')
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels of every tensor cache that some stage needs, the served one first."""
        asked = [stage.size for stage in (*self.finetune, *self.scratch) if stage.size is not None]
        return tuple(dict.fromkeys([self.preprocessing.size, *asked]))

    @property
    def sha256(self) -> str:
        """Digest of the resolved values; presets are already applied, comments and order do not matter."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
