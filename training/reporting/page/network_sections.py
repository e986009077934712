"""The page's sections on the network: its form, its graph, how it learnt, and the films that it never met."""

from __future__ import annotations

from training.reporting import tables
from training.reporting.architecture import age_sex_sentence, network_sentence, normalisation_words, rule_sentence
from training.reporting.origins import left_out_sentences
from training.reporting.page.section import Document, Picture, Section


def network(report: Document) -> Section:
    """Return what the network is made of, and what its probability rests on."""
    made = report["network"]
    return Section(
        anchor="network",
        title="The network",
        trap="What a network is made of explains no figure above: the same form reached other figures elsewhere, on "
        "other films and other splits.",
        remarks=tuple(
            filter(
                None,
                (
                    f"{_capital(network_sentence(made))}; {made['parameters']:,} parameters. Films of {made['size']} x "
                    f"{made['size']} gray pixels, normalised in the graph: {normalisation_words(made)}.",
                    rule_sentence(made).replace("*", ""),
                    age_sex_sentence(made),
                ),
            )
        ),
    )


def films_left_out(report: Document) -> tuple[Section, ...]:
    """Return which films no figure speaks of; nothing where every row of the table became a film."""
    sentences = left_out_sentences(report["left_out"])
    if not sentences:
        return ()
    return (
        Section(
            anchor="left-out",
            title="Films left out",
            trap="A film that was left out was neither learnt from nor scored. No figure on this page speaks of it, "
            "and films that fail are rarely films like the others.",
            remarks=sentences,
        ),
    )


def graph(report: Document) -> Section:
    """Return the variants of the graph, and its gate."""
    reference = report["export"]["variants"]["fp32"]
    gate = report["export"]["gate"]
    beyond = (
        "no gate against films unlike those it learned from"
        if gate is None
        else f"a film farther from {gate['films']:,} training films than {gate['percentile']:g} % of these lie is "
        f"not judged; so ended {gate['calibrate_films_beyond']:,} of {gate['calibrate_films']:,} calibrate films"
    )
    return Section(
        anchor="graph",
        title="The graph that ships",
        trap="A smaller graph is another network: thresholds certified on one do not hold for the other, so each "
        "variant is certified on its own scores.",
        tables=(tables.variants(report),),
        remarks=(
            f"The fp32 graph stays within {_tiny(reference['parity_max_difference'])} of the trained network; gate: "
            f"{beyond}.",
        ),
    )


def training(report: Document) -> Section:
    """Return how it learnt, epoch by epoch."""
    return Section(
        anchor="training",
        title="Training history",
        trap="The best of many epochs on few select patients is partly luck. Where the recipe keeps the best epoch, "
        "this curve chose it; it judges nothing. Train films are counted while "
        "the network learns, with dropout and augmentation, so that select films can look better than they.",
        pictures=(
            Picture(name="head_history", alt="Loss, accuracy and AUC of the head on frozen features, by epoch."),
            Picture(name="history", alt="Loss and accuracy on train and select films, and AUC, epoch by epoch."),
        ),
        remarks=_activation_maps(report["activation_maps"]),
    )


def _activation_maps(drawn: Document | None) -> tuple[str, ...]:
    if drawn is None:
        return ()
    return (
        f"Activation maps of {len(drawn['drawn'])} of {drawn['convolutions']} convolutions, up to "
        f"{drawn['most_channels']} channels each, lie in the run's folder evaluate/activation_maps. They are made from "
        "a real film and therefore not on this page.",
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _tiny(value: float | None) -> str:
    return "(not measured)" if value is None else f"{value:.1e}"
