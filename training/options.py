"""Options that several commands of ``cxr-train`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path, typer.Argument(help="TOML file, or the name of a shipped recipe.", show_default=False)]
Data = Annotated[
    Path, typer.Option(help="Folder of films and labels, in the form that the recipe reads.", show_default=False)
]
Out = Annotated[Path, typer.Option(help="Run directory; finished steps in it are kept.", show_default=False)]
Init = Annotated[
    Path | None, typer.Option(help="Weights with the network's own keys; without, training starts from scratch.")
]
To = Annotated[Path | None, typer.Option(help="Where the bundle goes; it must not exist. Default: OUT/bundle.")]
Preset = Annotated[
    list[str] | None,
    typer.Option(help="Table under [presets] in the recipe that overrides its values; repeat for several, in order."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:1.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads of torch and onnxruntime; 0: torch chooses, onnxruntime takes one per core.")
]
Spark = Annotated[
    str | None,
    typer.Option(
        help="Spark master that extracts frozen features, such as local[2] or spark://host:7077; without, this process."
    ),
]
