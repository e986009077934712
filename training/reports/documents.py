"""Documents of this room are written whole or not at all: a page must never be made from half of one."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from training.errors import RunError


def write_document(document: BaseModel, path: Path) -> None:
    """Write ``document`` as JSON, whole or not at all.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(document.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path} ({error.strerror})") from error
