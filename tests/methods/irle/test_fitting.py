"""Fitting to noisy crops alone: it ends as its seed says, resumes, and refuses."""

from dataclasses import replace

import pytest
import torch
from scenes import QUICK, crops, drained

from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.network_input import (
    low_passed_log_gain,
    make_network_input,
)
from napari_noiser.methods.irle.blind_spot.training import fit_blind_spot_steps
from napari_noiser.methods.irle.checkpoint import load_fit_state
from napari_noiser.methods.registry import load_model


def fit(recipe=QUICK, draw=None, **given):
    """Return the events and the model of a fit on the CPU."""
    steps = fit_blind_spot_steps(draw or crops(), recipe=recipe, device="cpu", **given)
    return drained(steps)


def test_events_count_up():
    events, model = fit()
    assert [(e.done, e.total, e.stage) for e in events] == [(n, 3, "fit") for n in (1, 2, 3)]
    assert model.losses == pytest.approx([e.loss for e in events], rel=1e-4)


def test_the_loss_falls():
    events, _ = fit(replace(QUICK, iterations=60, spacing=2, width=12))
    assert sum(e.loss for e in events[-10:]) < 0.8 * sum(e.loss for e in events[:10])


def test_same_seed_same_model():
    first, again, other = (fit(seed=seed)[1] for seed in (7, 7, 8))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("stop", [1, 2])
def test_a_fit_resumed_ends_as_one_never_stopped(tmp_path, stop):
    whole = fit()[1]
    steps = fit_blind_spot_steps(crops(), recipe=QUICK, device="cpu")
    for _ in range(stop):
        event = next(steps)
    path = event.state().save(tmp_path / "state")
    steps.close()
    with pytest.raises(ValueError, match="it is unfinished"):
        load_model(path)
    events, model = fit(resume=load_fit_state(path))
    assert [each.done for each in events] == list(range(stop + 1, 4))
    assert model.fingerprint == whole.fingerprint
    assert model.losses == whole.losses


def test_a_state_of_another_fit_is_refused():
    state = next(fit_blind_spot_steps(crops(), recipe=QUICK, device="cpu")).state()
    for changed in (
        {"seed": 1},
        {"recipe": replace(QUICK, width=9)},
        {"draw": crops(seed=5)},
        {"ndim": 3, "draw": crops((2, 1, 3, 64, 64))},
    ):
        with pytest.raises(ValueError, match="resume is of another fit"):
            fit(resume=state, **changed)


def test_a_model_is_no_state(tmp_path):
    path = fit()[1].save(tmp_path / "model")
    with pytest.raises(ValueError, match="not a readable state of an unfinished fit"):
        load_fit_state(path)


def test_a_fit_that_breaks_down_says_so():
    with pytest.raises(ValueError, match=r"broke down at step \d+: lower recipe.learning_rate"):
        fit(replace(QUICK, learning_rate=1e30, iterations=30))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"recipe": "structured"}, TypeError, "recipe must be a BlindSpotRecipe"),
        ({"samples": 0}, ValueError, "samples"),
        ({"ndim": 1}, ValueError, "ndim"),
        ({"seed": -1}, ValueError, "seed"),
        ({"device": "abacus"}, ValueError, "device"),
        ({"draw": lambda number: torch.full((2, 1, 64, 64), 3.0)}, ValueError, "constant"),
    ],
)
def test_what_cannot_be_fitted_is_refused_at_once(given, error, message):
    options = {"draw": crops(), "recipe": QUICK, "device": "cpu", **given}
    with pytest.raises(error, match=message):
        fit_blind_spot_steps(options.pop("draw"), **options)


def test_where_the_gain_comes_from():
    tile = crops((2, 3, 64, 64))(1)
    assert torch.equal(make_network_input(tile, "light").log_gain, low_passed_log_gain(tile))
    assert not make_network_input(tile, "none").log_gain.any()
    given = make_network_input(tile, "given")
    assert torch.equal(given.log_gain[:, 0], tile[:, 2])
    assert torch.equal(given.own, tile[:, :2])


def with_gain(gain):
    """Return a function that draws crops that all have the same gain."""
    return lambda number: torch.cat([drawn := crops()(number), gain.expand_as(drawn)], 1)


def test_the_gain_guides_the_fit():
    rising = torch.linspace(0, 3, 64)
    recipe = replace(QUICK, gain="given")
    one, other = (fit(recipe, with_gain(gain))[1] for gain in (rising, rising.flip(0)))
    assert one.fingerprint != other.fingerprint


def test_colors_that_are_noisier_are_weighed_so():
    def noisier(number):
        first = crops((2, 1, 64, 64))(number)
        second = first + 2 * torch.randn(
            first.shape, generator=torch.Generator().manual_seed(number)
        )
        return torch.cat([first, second], dim=1)

    low, high = fit(draw=noisier, samples=2)[1].scaling.noise
    assert low + high == pytest.approx(2)
    assert high / low == pytest.approx(5, rel=0.1)


def test_jitter_changes_what_is_seen_and_not_what_is_to_be_told():
    without, with_it = (fit(replace(QUICK, jitter=jitter))[1] for jitter in (0.0, 0.7))
    assert without.scaling == with_it.scaling
    assert without.fingerprint != with_it.fingerprint


def test_a_gain_that_varies_is_never_seen_twice_the_same(monkeypatch):
    """It would tell the network where it is, and so which noise it has seen there."""
    seen, forward = [], BlindSpot.forward

    def spied(network, frames, log_gain):
        seen.append(log_gain)
        return forward(network, frames, log_gain)

    monkeypatch.setattr(BlindSpot, "forward", spied)
    recipe, rising = replace(QUICK, gain="given", iterations=40), torch.linspace(-2, 2, 64)
    _, model = fit(recipe, with_gain(rising))
    assert model.scaling.gain_spread == pytest.approx(float(rising.std()), rel=0.01)
    blocks = torch.stack(seen)[..., 8::16, 24:40:16] - rising[24:40:16]
    assert float(blocks.std()) == pytest.approx(0.45 * model.scaling.gain_spread, rel=0.2)
    assert abs(float(blocks.mean())) < 0.2
    seen.clear()
    fit(recipe, with_gain(torch.tensor(1.5)))
    assert not torch.stack(seen).any()
