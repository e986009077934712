"""Tables as text: how the card and the files of a run write them."""

from __future__ import annotations

from training.reporting.tables.cells import Table


def markdown(table: Table) -> str:
    """Return caption and table in GitHub's Markdown."""
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"*{table.caption}*", "", *lines, ""])
