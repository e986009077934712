from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model.demographics import unknown_age_sex
from tests.support.exports import (
    CALIBRATION_OFFSET,
    KINDS,
    LABELS,
    PRIOR_SHIFT,
    SIZE,
    SMALL,
    TEMPERATURE,
    drawn_inputs,
    served_of,
    used_network,
)
from training.datasets.inputs import Inputs
from training.graphs.served import (
    AGE_SEX,
    CAM,
    EMBEDDING,
    FILM,
    FINDINGS,
    MARGIN,
    PROBABILITY,
    ServedNetwork,
    answer_network,
    feed,
    margins,
)
from training.networks.network import TriageNetwork
from training.recipe import NetworkRecipe


def test_all_answers_come_in_the_order_of_their_names() -> None:
    served = served_of(SMALL)
    assert served.output_names == (PROBABILITY, FINDINGS, CAM, EMBEDDING, MARGIN)
    answers = answer_network(served, [drawn_inputs(3), drawn_inputs(2, first=3)])
    assert answers[FINDINGS].shape == (5, len(LABELS))
    assert answers[EMBEDDING].shape == (5, 4)
    assert answers[CAM].shape == (5, 2, 2)
    logits = served.network(torch.from_numpy(drawn_inputs(5).films)).detach()
    torch.testing.assert_close(torch.from_numpy(answers[FINDINGS]).float(), torch.sigmoid(logits[:, 2:]))


def test_a_network_without_findings_or_embedding_has_no_such_outputs() -> None:
    bare = TriageNetwork(NetworkRecipe(architecture="resnet18", hidden=8, dropout=0.0), size=SIZE).eval()
    served = ServedNetwork(bare, temperature=1.0)
    assert served.output_names == (PROBABILITY, CAM, MARGIN)
    assert served.input_names == (FILM,)


def test_a_network_of_findings_alone_answers_all_of_its_logits_as_findings() -> None:
    recipe = KINDS["convolutional"]
    answers = answer_network(served_of(recipe), [drawn_inputs(4, with_age_sex=True)])
    assert answers[FINDINGS].shape == (4, len(recipe.findings))
    any_of_them = 1 - np.prod(1 - answers[FINDINGS], axis=1)
    assert answers[MARGIN] == pytest.approx(np.log(any_of_them / (1 - any_of_them)), abs=1e-4)
    assert answers[CAM].shape == (4, 8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_served_logit_is_the_margin_over_the_temperature_plus_offset_and_shift(kind: str) -> None:
    recipe, served = KINDS[kind], served_of(KINDS[kind])
    films = [drawn_inputs(4, with_age_sex=recipe.age_sex)]
    offset = 0.0 if recipe.any_finding else CALIBRATION_OFFSET
    expected = margins(served.network, films) / TEMPERATURE + offset + PRIOR_SHIFT
    assert answer_network(served, films)[PROBABILITY] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)


def test_unknown_age_and_sex_of_all_films_are_the_same_as_none_given() -> None:
    served, films = served_of(KINDS["residual"]), drawn_inputs(3).films
    assert served.input_names == (FILM, AGE_SEX)
    known = answer_network(served, [drawn_inputs(3, with_age_sex=True)])
    silent = answer_network(served, [Inputs(films=films)])
    unknown = answer_network(served, [Inputs(films=films, age_sex=unknown_age_sex(3))])
    for name in served.output_names:
        np.testing.assert_array_equal(silent[name], unknown[name])
    assert np.abs(known[MARGIN] - unknown[MARGIN]).max() > 1e-3
    np.testing.assert_array_equal(known[EMBEDDING], unknown[EMBEDDING])


def test_a_graph_is_fed_what_it_takes_and_nothing_else() -> None:
    inputs = drawn_inputs(2, with_age_sex=True)
    assert list(feed(inputs, [FILM])) == [FILM]
    np.testing.assert_array_equal(feed(inputs, [FILM, AGE_SEX])[AGE_SEX], inputs.age_sex)
    assert np.isnan(feed(drawn_inputs(2), [FILM, AGE_SEX])[AGE_SEX]).all()


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.floats(0.05, 20),
    st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=20),
)
def test_neither_calibration_nor_shift_ever_changes_the_rank(
    shift: float, offset: float, temperature: float, brightness: list[float]
) -> None:
    class Given(TriageNetwork):
        """A backbone whose one feature is what it is given."""

        def feature_maps(self, film: Tensor) -> Tensor:
            return film.reshape(-1, 1, 1, 1)

    recipe = NetworkRecipe(
        architecture="convolutional", filters=(1,), hidden=(), dropout=0.0, any_finding=False, findings=LABELS
    )
    network = Given(recipe, size=2).eval()
    nn.init.ones_(network.head[-1].weight)
    served = ServedNetwork(network, temperature=temperature, calibration_offset=offset, prior_shift=shift)
    with torch.no_grad():
        probability, *_, margin = served(torch.tensor(brightness))
    order = torch.argsort(margin, stable=True)
    assert (torch.diff(probability[order]) >= 0).all()


def test_margins_are_those_of_the_network_itself() -> None:
    network = used_network(SMALL)
    logits = network(torch.from_numpy(drawn_inputs(3).films)).detach().numpy()
    assert margins(network, [drawn_inputs(2), drawn_inputs(1, first=2)]) == pytest.approx(
        logits[:, 1] - logits[:, 0], abs=1e-5
    )
