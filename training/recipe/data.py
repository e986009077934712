"""Which films a run learns from, and how their patients are dealt out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.recipe.section import Section, Share


class ColumnsRecipe(Section):
    """Names of the columns of a ``csv`` collection; only image and findings must exist.

    A row without patient column is a patient of its own. ``findings`` cells hold labels joined by ``separator``.
    """

    image: str = "image"
    findings: str = "findings"
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    view: str | None = None
    part: str | None = None
    separator: str = "|"


class DataRecipe(Section):
    """Which films, and how patients are dealt out to the four parts.

    ``reader`` names the collection's form. ``healthy`` are the labels (class names, folder names) that mean no finding.
    ``missing_images`` says what a row without a film means: a broken download (``error``), or a table that covers more
    than is at hand (``skip``). ``unreadable_images`` says it of films that do not decode: the first one ends the run
    (``error``), or they are left out, counted and listed (``skip``). Rows with an age above ``oldest_years`` are left
    out: the NIH table of 2017 holds ages up to 414. ``leave_out_disputed`` keeps films that a second reading called
    normal out of everything but a second look at the test part.

    ``test_fold`` makes the test part one of ``folds`` equal patient-wise folds instead of the share ``test``, whose
    films then go to the other parts in proportion: cross-validation runs the line once for each.
    """

    reader: Literal["nih", "medmnist", "folders", "csv", "dicom"] = "nih"
    columns: ColumnsRecipe = ColumnsRecipe()
    healthy: tuple[str, ...] = ("No Finding",)
    split: Literal["patient", "image"] = "patient"
    official_test: bool = False
    train: Share
    select: Share
    calibrate: Share
    test: Share
    folds: int = Field(default=5, ge=2, le=20)
    test_fold: int | None = Field(default=None, ge=0)
    leave_out_disputed: bool = True
    missing_images: Literal["error", "skip"] = "error"
    unreadable_images: Literal["error", "skip"] = "error"
    oldest_years: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> DataRecipe:
        total = self.train + self.select + self.calibrate + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train + select + calibrate + test must be 1, not {total:g}")
        if self.test_fold is not None and self.test_fold >= self.folds:
            raise ValueError(f"test_fold counts from 0 and must be below folds ({self.folds})")
        if self.test_fold is not None and self.official_test:
            raise ValueError("test_fold and official_test cannot both choose the test part")
        return self
