"""Options that several commands of ``cxr-train`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path, typer.Argument(help="TOML file, or the name of a shipped recipe.", show_default=False)]
Preset = Annotated[str | None, typer.Option(help="Table under [presets] in the recipe that overrides its values.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:1.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of torch and onnxruntime; 0: torch chooses, onnxruntime takes one per core.")
]
