"""``docs/reports.md``: each published system, its numbers with their traps, ours beside them, and what contradicts.

Everything on it is read or computed; ``docs/generate.py`` writes it, and `make check` compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from training.reports.flagship import Flagship
from training.reports.page_tables import (
    anchor,
    contradictions,
    grid_table,
    number_table,
    own_auc_row,
    recomputed_table,
    run_table,
)
from training.reports.published import PublishedReport, published, read_published
from training.reports.recomputed.everything import quoting, recomputed
from training.reports.results import Results
from training.reports.statement import Verdict

_READING = """
Five published systems run here by name, through the same steps as the flagship. For each this page has what it was, the
commands, what misleads in its numbers, every number beside ours, and what follows from its own numbers when they are
computed again by this product's metric functions (`training/statistics`).

**In ten minutes:** this list, the next two tables, the traps of each report, and [what contradicts](#what-contradicts)
at the end. The rest is for looking up.

- **theirs** is quoted as printed. **ours, by patient** keeps each patient in one part; **ours, their split** deals
  films out one by one, so that patients lie on both sides. No report says how it dealt, or
  names patients there; where films are counted, the parts are exact shares of films.
- A cell "a · b · c" is theirs · ours, their split · ours, by patient. Brackets are 95 % intervals by bootstrap of
  patients. A figure of ours without brackets has none: on so few test films its second digit may be chance.
- Ours saw as many films as "our runs" says, some hundreds where the preset is `cpu`. Beside a report that had a hundred
  times as many, the columns show *what* is measured; neither being larger means anything. "Run it" has the commands for
  a full data set, which has not been run here.
- Numbers in the traps are computed from the reports' own tables, or from counts of the whole official table
  (`training/reports/official_table.json`).
- "agrees": within what rounding allows, so that a printed .0639 is any number from .06385 to .06395. "contradicts": no
  rounding makes the two equal. "beside": another number to read with it; nothing is claimed of the pair.
"""


_FLAGSHIP = """
The five recipes repeat systems; the product's own network is the flagship, recipe `triage`. Over {flagship.films} films
of {flagship.patients} patients, each scored by a network that never saw its patient, its AUC for any finding is {own};
the shipped bundle has {flagship.own_auc} on its own {flagship.own_films} test films. Films whose label a second reading
contradicts are left out of both. Two reports judge healthy against unhealthy, and neither prints an AUC. For these the
table has that of the equal-variance binormal curve through the one point that they print, with 95 % bounds of that
point; their recipes, run here, stand below them.
"""

_COMPARED = """
With 002 the question and the labels are the same and the films are others: the flagship's lower bound {ahead} what the
binormal curve allows, from a hundredth of the labelled films and with no patient on both sides. Our films are no random
sample of the collection (pneumonia is far too common among them, doubtful labels are gone): this places the flagship
and settles no contest.
With 003 the collections likely differ and its test has 200 films: the two stand side by side, no more. 000, 001 and
004 are judged finding by finding, by networks that saw tens of thousands of films; nothing of ours on this page is to
be compared with their figures.
"""


_CONTRADICTS = """
Printed numbers that the report's other numbers, or the official table, do not allow. Most are slips, and small.
"""


def reports_page(results: Results, flagship: Flagship, generated: str) -> str:
    """Return the page; ``generated`` is the line that says who wrote it."""
    reports = read_published()
    lines = ["# The five reports", "", generated, "", _READING.strip(), "", *_overview(reports)]
    lines += ["", "## Where ours is comparable", "", *_comparable(flagship, results)]
    for report in reports:
        lines += ["", *_report(report, results)]
    lines += ["", "## What contradicts", "", _CONTRADICTS.strip(), "", *contradictions()]
    return "\n".join(lines) + "\n"


def _overview(reports: tuple[PublishedReport, ...]) -> Iterator[str]:
    yield "| report | recipe | in short | computed again: agree, contradict |"
    yield "|---|---|---|---|"
    for report in reports:
        verdicts = [statement.verdict for statement in recomputed()[report.number]]
        counts = ", ".join(str(verdicts.count(each)) for each in (Verdict.AGREES, Verdict.CONTRADICTS))
        link = f"[{report.number}](#{anchor(_heading(report))})"
        yield f"| {link} | `{report.recipe}` | {quoting(report.in_short, report)} | {counts} |"


def _heading(report: PublishedReport) -> str:
    return f"{report.number} · {report.recipe}"


def _comparable(flagship: Flagship, results: Results) -> Iterator[str]:
    found = {each.key: each for statements in recomputed().values() for each in statements}
    healthy, six = found["002.binormal_auc"], found["003.binormal_auc"]
    own = f"{flagship.auc:.3f} ({flagship.low:.3f} to {flagship.high:.3f})"
    learnt = f"{flagship.labelled:,} labelled, {flagship.unlabelled:,} without labels"
    theirs = published("002").tables["parts"].cell("Training", "total")
    small = f"{published('003').tables['data'].count('train', 'films'):,}"
    yield _FLAGSHIP.format(flagship=flagship, own=own).strip()
    yield ""
    yield "| system | films it learnt from | patients apart | AUC | read from |"
    yield "|---|---|---|---|---|"
    yield f"| flagship | {learnt} | yes | {own} | pairs of films within folds |"
    yield f"| 002 | {theirs} labelled, ImageNet | not said | {healthy.shown} | figure 8 |"
    yield own_auc_row(published("002"), results)
    yield f"| 003 | {small} labelled, likely of another collection | not said | {six.shown} | table III, 50 epochs |"
    yield own_auc_row(published("003"), results)
    yield ""
    yield _COMPARED.format(
        ahead="lies above" if flagship.low > healthy.computed.high else "does not lie above",
    ).strip()


def _report(report: PublishedReport, results: Results) -> Iterator[str]:
    yield f"## {_heading(report)}"
    yield ""
    yield f"*{report.title}*, {report.authors} (`{report.source}`)."
    yield ""
    yield f"**What it was.** {report.system}"
    yield ""
    yield f"**Data.** {report.data} **Split.** {report.split[0].upper()}{report.split[1:]}."
    yield ""
    yield "**Run it** on two cores, then on the full data; a further `--preset image` deals films out one by one:"
    yield ""
    yield "```"
    yield from report.quick
    yield from report.full_data
    yield "```"
    yield ""
    yield f"**What can be compared.** {quoting(report.comparable, report)}"
    yield ""
    yield "**Traps**"
    yield ""
    for trap in report.traps:
        yield f"- *{trap.name}.* {quoting(trap.text, report)}"
    yield ""
    yield from run_table(report, results)
    yield from number_table(report, results)
    for grid in report.grids:
        yield from grid_table(report, grid, results)
    yield from recomputed_table(report)
