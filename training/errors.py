"""Everything that can go wrong between labelled films and a published bundle.

    TrainingError
    ├── RecipeError              the recipe names an unknown key or a value out of bounds
    ├── DatasetError             table or films missing, unreadable, or of one class only
    ├── PatientLeakage           two parts of the split share a patient
    ├── RunError                 the run directory lacks what a step needs, or a step failed half-way
    │   ├── SparkError           Spark cannot start, is not answered, or its executors fail
    │   ├── TrainingDiverged     loss or AUC is no longer a number, or no temperature calibrates the network
    │   └── LeaderFailed         of several processes, the first has failed and sent this one home
    ├── ParityError              the exported graph answers differently from the trained network
    ├── RecallFloorUnreachable   too few positives to certify the sensitivity that was asked for
    └── PublishRefused           a check failed, or a bundle of that name exists

The command line prints the message as one line and exits 2; at ``LeaderFailed`` it leaves without a word.
"""

from __future__ import annotations

from typing import ClassVar


class TrainingError(Exception):
    """Root of this package's errors. The message names the file, row or key that is at fault."""

    code: ClassVar[str] = "training_error"


class RecipeError(TrainingError):
    """The recipe cannot be read, names an unknown key or preset, or holds a value out of bounds."""

    code: ClassVar[str] = "recipe_error"


class DatasetError(TrainingError):
    """The data directory is not what its reader expects: a table, a column or films are missing or unreadable."""

    code: ClassVar[str] = "dataset_error"


class PatientLeakage(TrainingError):
    """Films of one patient lie on both sides of a split; any score from it would flatter the network."""

    code: ClassVar[str] = "patient_leakage"


class RunError(TrainingError):
    """A step was asked for before its inputs exist, or the run directory is not one."""

    code: ClassVar[str] = "run_error"


class SparkError(RunError):
    """Spark was asked for, and Java, the extra, the master or an executor is missing or fails."""

    code: ClassVar[str] = "spark_error"


class TrainingDiverged(RunError):
    """Loss or AUC became NaN or infinite, or no temperature calibrates the network; nothing of the step is kept."""

    code: ClassVar[str] = "training_diverged"


class LeaderFailed(RunError):
    """Rank 0 has failed, says why itself, and has sent this rank home."""

    code: ClassVar[str] = "leader_failed"


class ParityError(TrainingError):
    """The exported graph differs from the network by more than the recipe's tolerance."""

    code: ClassVar[str] = "parity_error"


class RecallFloorUnreachable(TrainingError):
    """So few positives that even a threshold below all of them certifies less than the asked sensitivity."""

    code: ClassVar[str] = "recall_floor_unreachable"


class PublishRefused(TrainingError):
    """The bundle may not be published: a check failed, or its directory exists."""

    code: ClassVar[str] = "publish_refused"
