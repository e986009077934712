"""``report.html`` is one file that needs nothing else, says what the report says, and can be read by everyone."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import simulated_films, simulated_report
from training.reporting.page import write_page
from training.reporting.page.sections import sections
from training.reporting.plots import PLOTS
from training.reporting.plots.style import save
from training.reporting.verdicts import statements
from training.statistics.figures import show

_VOID = {"meta", "img", "input", "br", "link"}


class _Page(HTMLParser):
    """Tags in order, with their attributes; ``open`` is empty at the end of a page that closes all it opens."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(simulated_report()))
    return read


@pytest.fixture(scope="module")
def page(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("plots")
    figure = PLOTS["roc"](report)
    assert figure is not None
    save(figure, folder / "roc.png")
    return write_page(report, folder)


def test_the_page_fetches_nothing(page: str) -> None:
    parsed = _Page(page)
    for name in ("src", "href", "action", "data", "srcset", "poster"):
        addresses = [attributes[name] for _, attributes in parsed.tags if name in attributes]
        assert all(str(address).startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert not parsed.named("link", "iframe", "object", "embed", "base")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", page)


def test_pictures_are_inside_whole(page: str) -> None:
    (picture,) = _Page(page).named("img")
    encoded = str(picture["src"]).removeprefix("data:image/png;base64,")
    assert base64.b64decode(encoded, validate=True)[:8] == b"\x89PNG\r\n\x1a\n"


def test_every_picture_has_an_alternative_text(page: str, report: dict[str, Any]) -> None:
    assert all(picture["alt"] for picture in _Page(page).named("img"))
    assert all(picture.alt for section in sections(report) for picture in section.pictures)


def test_every_plot_has_its_place_on_the_page(report: dict[str, Any]) -> None:
    placed = [picture.name for section in sections(report) for picture in section.pictures]
    assert sorted(placed) == sorted(PLOTS)


def test_a_picture_that_is_not_there_is_named(page: str) -> None:
    assert page.count("Not drawn, because the report has no figures for it") == len(PLOTS) - 1


def test_every_header_cell_says_what_it_heads(page: str) -> None:
    parsed = _Page(page)
    assert all(header["scope"] in ("col", "row") for header in parsed.named("th"))
    assert len(parsed.named("caption")) == len(parsed.named("table"))


def test_every_element_is_closed_and_every_anchor_exists(page: str) -> None:
    parsed = _Page(page)
    assert parsed.open == []
    anchors = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    assert {str(link["href"]).removeprefix("#") for link in parsed.named("a")} <= anchors
    assert parsed.named("html")[0]["lang"] == "en"


def test_the_summary_states_every_claim_with_its_verdict(page: str, report: dict[str, Any]) -> None:
    text = re.sub(r"<[^>]+>", "\n", page)
    for statement in statements(report):
        assert _escaped(statement.claim) in text
        assert _escaped(statement.evidence) in text
    assert text.index("It ranks unhealthy films") < text.index("Training history")


def test_every_operating_point_has_its_figures(page: str, report: dict[str, Any]) -> None:
    for point in report["test"]["operating_points"].values():
        for name in ("sensitivity", "specificity", "f3", "f3_skill"):
            assert show(point[name]) in page


def test_every_section_warns_of_its_trap(report: dict[str, Any]) -> None:
    assert all(len(section.trap) > 60 for section in sections(report))


def test_words_of_a_recipe_cannot_become_markup(page: str) -> None:
    assert "<no film>" not in page
    assert "&lt;no film&gt; &amp; no network" in page


def test_the_explorer_ends_where_nothing_is_flagged(page: str, report: dict[str, Any]) -> None:
    found = re.search(r'id="cost-curve">(.*?)</script>', page)
    assert found is not None
    curve = json.loads(found.group(1))
    assert curve["threshold"] == sorted(curve["threshold"])
    assert curve["cleared_per_1000"][0] == 0
    assert (curve["threshold"][-1], curve["cleared_per_1000"][-1]) == (1.0, 1000.0)
    assert curve["missed_per_1000"][-1] == pytest.approx(1000 * report["test"]["prevalence"])


def test_nothing_is_called_healthy(page: str) -> None:
    assert "never <em>healthy</em>" in page


def test_the_page_of_a_poor_report_is_written(tmp_path: Path) -> None:
    films = simulated_films(60, views=False, findings=())
    report = simulated_report(films) | {"history": []}
    report["export"] = report["export"] | {"gate": None}
    page = write_page(report, tmp_path)
    assert "no outputs for single findings" in page
    assert _Page(page).open == []


def test_films_that_were_left_out_have_a_section_and_only_then(
    report: dict[str, Any], page: str, tmp_path: Path
) -> None:
    assert 'id="left-out"' not in page
    left_out = {"unreadable": {"films": 3, "parts": {"test": 1, "train": 2}}, "too_old": 14}
    told = write_page(report | {"left_out": left_out}, tmp_path)
    assert "Films that do not decode and were left out: 3 (test 1, train 2)." in told
    assert "left out: 14." in told


def test_the_network_is_described_and_activation_maps_are_pointed_to_but_not_shown(
    report: dict[str, Any], page: str, tmp_path: Path
) -> None:
    assert "ResNet50, average pooling, tanh-512, softmax-2 and 3 findings; 24,557,000 parameters" in page
    assert "Activation maps" not in page
    drawn = {"convolutions": 53, "drawn": ["conv1"] * 20, "most_channels": 64}
    told = write_page(report | {"activation_maps": drawn}, tmp_path)
    assert "Activation maps of 20 of 53 convolutions" in told
    assert "data:image" not in told


def test_findings_say_how_many_are_above_wang_and_what_the_untrained_head_is(page: str, report: dict[str, Any]) -> None:
    section = report["multilabel"]
    assert f"in {section['above_wang_2017']} of the {section['compared_with_wang_2017']} findings" in page
    assert "AUC of the head before it learnt: simulated." in page


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("'", "&#39;")
