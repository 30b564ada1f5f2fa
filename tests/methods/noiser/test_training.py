"""Training is a reproducible, interruptible sequence of steps; it leaves torch's globals alone."""

import copy
import inspect
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from napari_noiser._progress import run_with_progress
from napari_noiser.methods.noiser.checkpoint import load_training_state
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.methods.noiser.noise_sources import GaussianNoise, Palette, PureColor
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe
from napari_noiser.methods.noiser.training import (
    TrainingStep,
    copy_matching_weights,
    learning_rate,
    regress,
    total_variation,
    train,
    train_steps,
)
from napari_noiser.methods.noiser.unet import UNet
from napari_noiser.methods.registry import load_model

SHORT = Recipe(name="short", iterations=6, size=16, size_3d=6, width=4)


def srm(samples=1, width=4, ndim=2, seed=0):
    return SRM(samples, width, ndim, torch.Generator().manual_seed(seed))


def same_weights(first, second):
    assert set(first) == set(second)
    return all(torch.equal(first[name], second[name]) for name in first)


def drained(steps):
    """The events of a generator, and its return value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value


@pytest.mark.parametrize(
    ("samples", "ndim", "count"), [(3, 2, 993), (1, 2, 343), (1, 3, 991), (3, 3, 2937)]
)
def test_number_of_parameters(samples, ndim, count):
    network = srm(samples, Recipe(name="paper's").width, ndim)
    assert sum(value.numel() for value in network.parameters()) == count


@pytest.mark.parametrize(("samples", "ndim"), [(1, 2), (3, 2), (1, 3)])
def test_network_is_conv_norm_gelu_conv_tanh(samples, ndim):
    network, kind = srm(samples, 4, ndim), f"{ndim}d"
    layers = nn.Sequential(
        getattr(nn, f"Conv{kind}")(samples, 4, 3, padding=1),
        getattr(nn, f"InstanceNorm{kind}")(4),
        nn.GELU(),
        getattr(nn, f"Conv{kind}")(4, samples, 3, padding=1),
        nn.Tanh(),
    )
    with torch.no_grad():
        for own, value in zip(layers.parameters(), network.parameters(), strict=True):
            own.copy_(value)
        image = torch.randn(1, samples, *(9,) * ndim)
        torch.testing.assert_close(network(image), layers(image))


def test_initial_weights_are_drawn_as_torch_draws_them():
    network = srm(3, 64)
    for name, fan_in in (("first_weight", 27), ("second_weight", 64 * 9)):
        values = getattr(network, name).detach() * fan_in**0.5
        assert float(values.abs().max()) <= 1
        assert float(values.var()) == pytest.approx(1 / 3, rel=0.1)


@pytest.mark.parametrize(
    ("source", "samples", "ndim"),
    [(GaussianNoise(), 1, 2), (GaussianNoise(), 3, 2), (GaussianNoise(), 1, 3), (Palette(), 1, 2)],
)
def test_seed_decides_the_weights(source, samples, ndim):
    recipe = replace(SHORT, source=source)
    arguments = {"samples": samples, "ndim": ndim, "device": "cpu"}
    first, again, other = (train(recipe, seed=seed, **arguments) for seed in (7, 7, 8))
    assert same_weights(first.weights, again.weights)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert not any(torch.equal(first.weights[n], other.weights[n]) for n in first.weights)


def test_signals_come_from_their_own_seed():
    weights = []
    for seed in (1, 1, 2):
        network = srm()
        list(regress(network, SHORT, (1, 1, 16, 16), seed))
        weights.append(network.state_dict())
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


def test_model_says_where_it_came_from():
    model = train(SHORT, samples=2, ndim=3, device="cpu", seed=2**63 - 1)
    assert model.recipe == SHORT
    assert (model.samples, model.ndim, model.seed) == (2, 3, 2**63 - 1)
    assert all(value.device.type == "cpu" for value in model.weights.values())
    assert not any(value.requires_grad for value in model.weights.values())


def test_train_takes_the_name_of_a_recipe():
    steps = train_steps("noiser-es", device="cpu")
    assert next(steps).total == RECIPES["noiser-es"].iterations
    steps.close()


def test_one_event_a_step_and_the_model_in_the_end():
    events, model = drained(train_steps(SHORT, device="cpu"))
    assert [event.done for event in events] == [1, 2, 3, 4, 5, 6]
    assert {event.total for event in events} == {6}
    assert {event.stage for event in events} == {"train"}
    assert same_weights(model.weights, train(SHORT, device="cpu").weights)


def test_loss_is_l1_plus_weighted_total_variation():
    network, recipe = srm(), replace(SHORT, iterations=1, tv_weight=0.7)
    signal = torch.empty(1, 1, 16, 16)
    recipe.source.fill(signal, torch.Generator().manual_seed(3))
    with torch.no_grad():
        output = network(signal)
        expected = (output - signal).abs().mean() + 0.7 * total_variation(output)
    (event,) = regress(network, recipe, tuple(signal.shape), 3)
    assert event.loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("samples", "ndim"), [(1, 2), (3, 2), (1, 3)])
def test_loss_decreases(samples, ndim):
    recipe = Recipe(name="short", iterations=150, size=24, size_3d=9)
    losses = [step.loss for step in train_steps(recipe, samples=samples, ndim=ndim)]
    assert sum(losses[-20:]) < 0.97 * sum(losses[:20])


def test_every_step_changes_the_network_and_closing_stops_it():
    network = srm()
    steps = regress(network, SHORT, (1, 1, 16, 16), 0)
    before = network.first_weight.detach().clone()
    for _ in range(3):
        next(steps)
        assert not torch.equal(network.first_weight, before)
        before = network.first_weight.detach().clone()
    steps.close()
    assert torch.equal(network.first_weight, before)
    with pytest.raises(StopIteration):
        next(steps)


def test_any_network_can_be_regressed():
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.zero_()
    recipe = replace(
        SHORT, source=GaussianNoise(), iterations=400, learning_rate=0.01, tv_weight=0.0
    )
    list(regress(network, recipe, (1, 1, 16, 16), 0))
    assert float(network.weight.detach()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("recipe", "unknown"),
        ("recipe", None),
        ("samples", 0),
        ("samples", -1),
        ("samples", 1.0),
        ("samples", "3"),
        ("samples", True),
        ("ndim", 1),
        ("ndim", 4),
        ("ndim", "2"),
        ("ndim", 2.0),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 0.5),
        ("seed", None),
        ("seed", True),
        ("device", "gpu"),
    ],
)
def test_arguments_are_checked_before_the_first_step(argument, value):
    with pytest.raises((ValueError, TypeError), match=argument):
        train_steps(**{"recipe": SHORT, argument: value})


@pytest.mark.parametrize("source", [GaussianNoise((0.0, 0.1, 0.2)), PureColor((0.0, 1.0, 0.5))])
def test_channels_must_fit_the_source(source):
    recipe = replace(SHORT, source=source)
    train_steps(recipe, samples=3).close()
    with pytest.raises(ValueError, match="one a sample"):
        train_steps(recipe, samples=2)


def test_globals_of_torch_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    first = train(SHORT, device="cpu")
    after = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.manual_seed(6)
    assert train(SHORT, device="cpu").fingerprint == first.fingerprint


def test_progress_is_told_to_a_callback():
    seen = []
    train(SHORT, device="cpu", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_error_in_a_callback_stops_the_work_at_once():
    closed = []

    def work():
        try:
            yield TrainingStep(1, 2, 0.5)
            yield TrainingStep(2, 2, 0.4)
        finally:
            closed.append(True)

    def stop(done, total):
        raise RuntimeError(f"enough after {done} of {total}")

    with pytest.raises(RuntimeError, match="enough after 1 of 2") as caught:
        run_with_progress(work(), stop, "working")
    assert closed, caught  # though the traceback still holds the generator
    with pytest.raises(RuntimeError, match="enough after 1 of 6"):
        train(SHORT, device="cpu", progress=stop)


def test_progress_true_shows_a_bar(capsys):
    train(SHORT, device="cpu", progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "training" in printed.err
    assert "6/6" in printed.err


def test_progress_false_is_silent(capsys):
    train(SHORT, device="cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("progress", ["yes", 1, None])
def test_progress_of_another_type_is_refused(progress):
    with pytest.raises(TypeError, match="progress"):
        train(SHORT, device="cpu", progress=progress)


def test_train_steps_is_a_generator_not_yet_started():
    steps = train_steps(SHORT, device="cpu")
    assert inspect.getgeneratorstate(steps) == inspect.GEN_CREATED
    steps.close()


def test_total_variation_by_hand():
    image = torch.tensor([[[[1.0, 3.0], [2.0, 7.0]]]])
    vertical, horizontal = 1**2 + 4**2, 2**2 + 5**2
    assert float(total_variation(image)) == (vertical + horizontal) / 4


def test_total_variation_of_channels_and_volumes_by_hand():
    ramp = torch.arange(3.0)
    image = ramp[:, None, None] + 2 * ramp[:, None] + 4 * ramp
    image = torch.stack([image, torch.full((3, 3, 3), 9.0)])[None]
    assert float(total_variation(image)) == (1 + 4 + 16) * 18 / 54


def test_total_variation_is_zero_across_batch_and_channels():
    image = torch.tensor([0.0, 1.0, 5.0])[None, :, None, None].expand(1, 3, 4, 4)
    assert float(total_variation(image)) == 0


def test_all_images_of_a_batch_count():
    recipe = Recipe(name="several", iterations=3, width=4, size=9, batch=3)
    network = SRM(1, 4, 2, torch.Generator().manual_seed(0))
    plain = copy.deepcopy(network)
    for _ in regress(network, recipe, recipe.training_shape(1, 2), seed=5):
        pass
    generator = torch.Generator().manual_seed(5)
    optimizer = torch.optim.Adam(plain.parameters(), lr=recipe.learning_rate, betas=recipe.betas)
    signal = torch.empty(3, 1, 9, 9)
    for _ in range(3):
        recipe.source.fill(signal, generator)
        output = plain(signal)
        loss = (output - signal).abs().mean() + total_variation(output)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, found in network.named_parameters():
        if name != "first_bias":  # it cancels: its gradient is rounding, which Adam scales up
            torch.testing.assert_close(found, plain.get_parameter(name), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("iterations", [1, 2, 3, 18, 19, 20, 21, 39])
def test_restoring_recipes_train_for_any_number_of_steps_and_at_any_size(iterations):
    recipe = Recipe(
        name="short",
        exposure=PhotonNoise(),
        iterations=iterations,
        width=2,
        scales=(2,),
        size=5 + iterations % 4,
    )
    assert len(train(recipe, device="cpu").losses) == iterations


TINY = replace(RECIPES["structured"], iterations=1, width=4, scales=(4,), batch=1, size=16)


def test_volumes_begin_from_planes_each_restored_alone():
    planes = train(TINY, device="cpu", seed=3)
    network = UNet(1, TINY.widths, 3, torch.Generator())
    copy_matching_weights(network, planes)
    plane = torch.randn(1, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    volume = plane.repeat(1, 1, 3, 1, 1)
    alone = UNet(1, TINY.widths, 2, torch.Generator())
    copy_matching_weights(alone, planes)
    torch.testing.assert_close(network(volume)[:, :, 0], alone(plane[:, :, 0]))
    model = train(TINY, ndim=3, device="cpu", start=planes)
    assert model.begun_from == planes.fingerprint == model.describe()["begun_from"]
    assert train(TINY, ndim=3, device="cpu", start=planes).fingerprint == model.fingerprint
    assert train(TINY, ndim=3, device="cpu").fingerprint != model.fingerprint


def test_training_goes_on_from_a_model_of_the_same_shapes(tmp_path):
    first = train(SHORT, device="cpu", seed=1)
    second = train(SHORT, device="cpu", seed=2, start=first)
    moved = max(float((second.weights[n] - w).abs().max()) for n, w in first.weights.items())
    assert 0 < moved < 0.1
    assert load_model(second.save(tmp_path / "second")).begun_from == first.fingerprint


@pytest.mark.parametrize(
    ("start", "error"),
    [("structured", TypeError), (train(replace(TINY, width=5), device="cpu"), ValueError)],
)
def test_what_training_cannot_begin_from(start, error):
    with pytest.raises(error, match="start must be a"):
        train_steps(TINY, device="cpu", start=start)
    with pytest.raises(error, match="start must be a"):
        train_steps(SHORT, ndim=3, device="cpu", start=start)


STEADY = replace(TINY, iterations=5, warm_up=1, decay=0.4, averaging=0.5)
ONE_CYCLE = replace(TINY, iterations=5)


@pytest.mark.parametrize("recipe", [SHORT, STEADY, ONE_CYCLE], ids=["noiser", "steady", "cycle"])
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_training_resumed_ends_as_one_that_was_never_stopped(recipe, stop, tmp_path):
    recipe = replace(recipe, iterations=5)
    form = {"device": "cpu", "seed": 3}
    whole = train(recipe, **form)
    steps = train_steps(recipe, **form)
    for _ in range(stop):
        event = next(steps)
    path = event.state().save(tmp_path / "state")
    steps.close()
    state = load_training_state(path)
    assert (state.done, state.total) == (stop, 5)
    events, model = drained(train_steps(recipe, resume=state, **form))
    assert [each.done for each in events] == list(range(stop + 1, 6))
    assert same_weights(model.weights, whole.weights)
    assert model.losses == whole.losses


def test_a_state_is_no_model(tmp_path):
    state = next(train_steps(TINY, device="cpu")).state()
    with pytest.raises(ValueError, match="unfinished"):
        load_model(state.save(tmp_path / "state"))
    with pytest.raises(ValueError, match="state of an unfinished training"):
        load_training_state(train(TINY, device="cpu").save(tmp_path / "model"))


def test_the_number_of_steps_may_change_until_the_rate_falls():
    form = {"device": "cpu", "seed": 0}
    states = [event.state() for event in train_steps(replace(STEADY, iterations=6), **form)]
    longer = replace(STEADY, iterations=10)
    events, model = drained(train_steps(longer, resume=states[2], **form))
    assert events[-1].done == 10
    assert same_weights(model.weights, train(longer, **form).weights)
    _, other = drained(train_steps(replace(longer, coarser=1), resume=states[2], **form))
    assert other.recipe.coarser == 1
    assert same_weights(other.weights, model.weights)
    with pytest.raises(ValueError, match="resume is of another training"):
        train_steps(longer, resume=states[4], **form)
    with pytest.raises(ValueError, match="resume is of another training"):
        train_steps(replace(ONE_CYCLE, iterations=6), resume=states[2], **form)


@pytest.mark.parametrize(
    ("recipe", "stop", "changed"),
    [
        (SHORT, 3, {"iterations": 3}),
        (replace(SHORT, tv_weight=0.2), 2, {"iterations": 2}),
        (STEADY, 5, {"coarser": 1}),
        (ONE_CYCLE, 5, {"coarser": 2}),
    ],
)
def test_with_no_step_left_a_model_is_what_was_asked_for(recipe, stop, changed):
    recipe = replace(recipe, iterations=5)
    asked = replace(recipe, **changed)
    state = [event.state() for event in train_steps(recipe, device="cpu")][stop - 1]
    left, model = drained(train_steps(asked, device="cpu", resume=state))
    whole = train(asked, device="cpu")
    assert not left
    assert model.recipe == asked
    assert model.describe() == whole.describe()
    assert same_weights(model.weights, whole.weights)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"samples": 3}, {"ndim": 3}])
def test_another_training_is_not_gone_on_with(changed):
    state = next(train_steps(STEADY, device="cpu")).state()
    with pytest.raises(ValueError, match="resume is of another training"):
        train_steps(STEADY, device="cpu", resume=state, **changed)
    with pytest.raises(TypeError, match="resume"):
        train_steps(STEADY, device="cpu", resume="state")


def test_the_rate_rises_stays_and_falls():
    recipe = replace(TINY, iterations=100, warm_up=10, decay=0.3, learning_rate=1.0)
    rates = [learning_rate(recipe, done) for done in range(1, 101)]
    assert rates[0] < 0.1
    assert rates[10:71] == [1.0] * 61
    assert all(later < earlier for earlier, later in pairwise(rates[70:]))
    assert rates[-1] < 0.01


@pytest.mark.parametrize("total", [1, 2, 7, 40, 500])
def test_one_cycle_is_that_of_torch(total):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=2e-3,
        total_steps=total + 1,
        pct_start=max(0.05, min(2 / (total + 1), 0.75)),
        cycle_momentum=False,
    )
    recipe = replace(TINY, iterations=total, learning_rate=2e-3)
    for done in range(1, total + 1):
        assert learning_rate(recipe, done) == pytest.approx(cycle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        cycle.step()


def test_the_model_has_the_running_mean_of_the_weights():
    recipe = replace(STEADY, iterations=3)
    states = [event.state() for event in train_steps(recipe, device="cpu")]
    weights = [state.model.weights["last_bias"] for state in states]
    means = [state.averages["last_bias"] for state in states]
    for before, after, weight in zip(means, means[1:], weights[1:], strict=False):
        assert 0 < float((after - weight) / (before - weight)) <= 0.5
    assert torch.equal(train(recipe, device="cpu").weights["last_bias"], means[-1])
