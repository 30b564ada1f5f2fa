"""Stage 1's networks: tiles equal the whole, they learn from dark images alone, survive a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import drained
from test_retinex_statistics import scene

from napari_noiser.methods.irle import METHOD
from napari_noiser.methods.irle.checkpoint import load_fit_state
from napari_noiser.methods.irle.retinex.losses import retinex_losses
from napari_noiser.methods.irle.retinex.model import RetinexModel, make_retinex
from napari_noiser.methods.irle.retinex.network import retinex_radius
from napari_noiser.methods.irle.retinex.recipe import RetinexLosses, RetinexRecipe
from napari_noiser.methods.irle.retinex.training import fit_retinex_steps
from napari_noiser.methods.registry import load_model

QUICK = RetinexRecipe(iterations=4, widths=(4, 6, 8), crop=64, batch=2)
CPU = torch.device("cpu")


def untrained(samples=1, black=0.0, white=1.0, **changed):
    """Return a model whose every weight counts."""
    recipe = replace(QUICK, **changed)
    start = torch.Generator().manual_seed(4)
    weights = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=start)
        for name, value in make_retinex(recipe, samples, seed=3).named_parameters()
    }
    return RetinexModel(recipe, samples, 2, 3, weights, black=black, white=white)


def crops_of(image, recipe):
    """Return what draws crops of an image."""

    def draw(number):
        random = np.random.default_rng(number)
        side = recipe.crop
        at = [random.integers(length - side + 1, size=recipe.batch) for length in image.shape[-2:]]
        return torch.cat(
            [image[..., y : y + side, x : x + side] for y, x in zip(*at, strict=True)]
        )

    return draw


def fit(image, recipe=QUICK, samples=None, **given):
    """Return the events and the model of a fit on the CPU."""
    samples = samples or image.shape[1]
    steps = fit_retinex_steps(
        crops_of(image, recipe), recipe=recipe, samples=samples, device="cpu", **given
    )
    return drained(steps)


@pytest.mark.parametrize("samples", [1, 3])
def test_illumination_and_reflectance_are_in_range(samples):
    image = scene(samples, 70, noise=0.02)
    light, reflectance = untrained(samples).decompose(image)
    assert light.shape == (1, 1, 70, 70)
    assert reflectance.shape == image.shape
    assert light.min() >= 0.005
    assert light.max() <= 1
    assert reflectance.min() >= 0
    assert reflectance.max() <= 1


def test_illumination_is_bounded_by_the_image():
    """It cannot vanish, as a free one does."""
    model = untrained()
    model.weights["of_light.last_bias"].fill_(-1e3)
    light, _ = model.decompose(torch.full((1, 1, 40, 40), 0.5))
    assert torch.allclose(light, torch.tensor(0.5 / np.e, dtype=torch.float32))


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    tile=st.tuples(st.integers(25, 90), st.integers(25, 90)),
    scales=st.sampled_from([(4,), (4, 6), (4, 6, 8)]),
    smoothing=st.sampled_from([0.0, 1.4]),
)
def test_tiles_equal_the_whole(shape, tile, scales, smoothing):
    model = replace(untrained(3, widths=scales, black=90.0, white=300.0), smoothing=smoothing)
    random = torch.Generator().manual_seed(0)
    dark, clean = (100 + 80 * torch.rand((1, 3, *shape), generator=random) for _ in range(2))
    light, reflectance = model.decompose(dark, clean)
    rendering = model.rendering(CPU)
    for y in range(0, shape[0], tile[0]):
        for x in range(0, shape[1], tile[1]):
            wanted, read, halo = [], [], []
            for at, side, length in zip((y, x), tile, shape, strict=True):
                stop = min(at + side, length)
                low, high = min(at, rendering.halo), min(length - stop, rendering.halo)
                wanted.append(slice(at, stop))
                read.append(slice(at - low, stop + high))
                halo.append((low, high))
            window, corner = (..., *read), tuple(each.start for each in read)
            found = rendering(dark[window], clean[window], tuple(halo), corner)
            assert torch.allclose(found[0], light[(..., *wanted)], atol=1e-5)
            assert torch.allclose(found[1], reflectance[(..., *wanted)], atol=1e-5)


@pytest.mark.parametrize(("scales", "smoothing"), [((4,), 1.4), ((4, 6), 0.0), ((4, 6, 8), 0.0)])
def test_nothing_beyond_the_radius_is_seen(scales, smoothing):
    network = make_retinex(replace(QUICK, widths=scales), 1, 0, smoothing)
    radius, step = retinex_radius(len(scales), smoothing), 2 ** (len(scales) - 1)
    side = (2 * radius // step + 4) * step
    for middle in range(side // 2, side // 2 + step):
        image = scene(1, side, 0.5, noise=0.1).requires_grad_(True)
        network(image)[1][0, 0, middle, middle].backward()
        rows, columns = image.grad[0, 0].nonzero().T
        reach = max(int((at - middle).abs().max()) for at in (rows, columns))
        assert radius // 4 < reach <= radius


def test_levels_are_those_of_the_images():
    image, plain = scene(1, 64), untrained()
    leveled = untrained(black=100.0, white=1100.0)
    for found, expected in zip(
        leveled.decompose(100 + 1000 * image), plain.decompose(image), strict=True
    ):
        assert torch.allclose(found, expected, atol=1e-4)


def test_the_reflectance_is_that_of_the_clean_image_in_the_dark_one_s_light():
    model, dark, clean = untrained(), scene(1, 64, noise=0.03), scene(1, 64)
    light, reflectance = model.decompose(dark, clean)
    assert torch.equal(light, model.decompose(dark)[0])
    assert not torch.allclose(reflectance, model.decompose(dark)[1], atol=0.01)
    assert not torch.allclose(reflectance, model.decompose(clean)[1], atol=0.01)


@pytest.mark.parametrize("samples", [1, 3])
def test_all_losses_are_finite_and_move_all_weights(samples):
    network = make_retinex(QUICK, samples, seed=0)
    losses = retinex_losses(network, scene(samples, 64, noise=0.01))
    assert set(losses) == set(RetinexLosses.__dataclass_fields__)
    for name, loss in losses.items():
        network.zero_grad()
        loss.backward(retain_graph=True)
        slopes = {each: p.grad for each, p in network.named_parameters() if p.grad is not None}
        assert loss.isfinite()
        assert all(slope.isfinite().all() for slope in slopes.values())
        moved = {each.split(".")[0] for each, slope in slopes.items() if slope.abs().max() > 0}
        assert moved == ({"of_light"} if name == "smoothness" else {"of_light", "of_reflectance"})


@pytest.mark.parametrize("samples", [1, 3])
def test_a_fit_learns_and_brightens(samples):
    image = scene(samples, 160, noise=0.01)
    events, model = fit(image, replace(QUICK, iterations=40))
    losses = [each.loss for each in events]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
    _, reflectance = model.decompose(image)
    assert reflectance.mean() > 3 * image.mean()
    sides = [reflectance[..., part].mean() for part in (slice(-40, None), slice(0, 40))]
    assert sides[0] / sides[1] < 0.6 * image[..., -40:].mean() / image[..., :40].mean()


def test_a_denoised_image_can_be_given_too():
    dark, clean = scene(1, 80, noise=0.02), scene(1, 80)
    events, model = fit(torch.cat([dark, clean], dim=1), samples=1)
    alone, same = fit(dark)[1], fit(torch.cat([dark, dark], dim=1), samples=1)[1]
    assert len(events) == 4
    assert same.fingerprint == alone.fingerprint != model.fingerprint


def test_events_count_up():
    events, model = fit(scene(1, 80), black=10.0, white=20.0)
    found = [(each.done, each.total, each.stage) for each in events]
    assert found == [(number, 4, "illumination") for number in (1, 2, 3, 4)]
    assert model.losses == pytest.approx([each.loss for each in events], rel=1e-4)
    assert (model.black, model.white) == (10, 20)


def test_same_seed_same_model():
    image = scene(1, 80)
    first, again, other = (fit(image, seed=seed)[1] for seed in (7, 7, 8))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_fit_resumed_ends_as_one_never_stopped(tmp_path, stop):
    image, options = scene(1, 80), {"black": 10.0, "white": 20.0}
    draw, whole = crops_of(image, QUICK), fit(image, **options)[1]
    steps = fit_retinex_steps(draw, recipe=QUICK, device="cpu", **options)
    event = [next(steps) for _ in range(stop)][-1]
    path = event.state().save(tmp_path / "state")
    steps.close()
    state = load_fit_state(path)
    assert (state.done, state.total) == (stop, 4)
    with pytest.raises(ValueError, match="it is unfinished"):
        load_model(path)
    events, model = fit(image, resume=state, **options)
    assert [each.done for each in events] == list(range(stop + 1, 5))
    assert model.describe() == whole.describe()
    assert model.losses == whole.losses
    for changed in ({"seed": 1}, {"white": 30.0}, {"recipe": replace(QUICK, widths=(4, 4))}):
        with pytest.raises(ValueError, match="resume is of another fit"):
            fit(image, resume=state, **{**options, **changed})


def test_a_fitted_model_survives_its_file(tmp_path):
    image = scene(3, 80)
    model = fit(image, black=0.1)[1]
    path = model.save(tmp_path / "mine")
    again = load_model(path)
    assert path.name == "mine.safetensors"
    assert again.describe() == model.describe()
    assert again.describe()["method"] == METHOD
    assert again.losses == model.losses
    assert all(map(torch.equal, again.decompose(image), model.decompose(image)))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(ValueError, match="not a readable model"):
        load_model(tmp_path / "text.safetensors")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.safetensors")
    changed = replace(untrained(), weights=dict(untrained().weights))
    del changed.weights["of_light.last_bias"]
    with pytest.raises(ValueError, match=r"not a readable.*weights must have the shapes"):
        load_model(changed.save(tmp_path / "less"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": 3}, "weights must have the shapes"),
        ({"samples": 2}, "samples must be 1"),
        ({"seed": -1}, "seed"),
        ({"white": 0.0}, "white must be a finite number above 0.0"),
        ({"black": float("nan")}, "black"),
        ({"losses": (float("nan"),)}, "losses"),
    ],
)
def test_what_is_no_model_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(untrained(), **changed)


def test_images_of_other_channels_are_refused():
    model, image = untrained(3), scene(3, 40)
    with pytest.raises(ValueError, match=r"dark must be \(N, 3, Y, X\)"):
        model.decompose(image[:, :1])
    with pytest.raises(ValueError, match="clean must have the shape of dark"):
        model.decompose(image, image[..., 1:])


def test_a_fit_s_arguments_are_checked_at_once():
    for arguments, error, message in (
        ({"recipe": "retinex"}, TypeError, "recipe must be a RetinexRecipe"),
        ({"samples": 2}, ValueError, "samples must be 1"),
        ({"seed": -1}, ValueError, "seed"),
        ({"black": 1.0}, ValueError, "white must be"),
        ({"device": "lamp"}, ValueError, "device 'lamp'"),
    ):
        with pytest.raises(error, match=message):
            fit_retinex_steps(lambda number: scene(1, 64), **arguments)


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (scene(3, 64), r"draw must return \(N, 1, Y, X\)"),
        (scene(1, 64)[0], r"draw must return \(N, 1, Y, X\)"),
        (scene(1, 32), "of at least 64"),
        (scene(1, 65), "multiples of 8"),
        (scene(1, 64) * torch.nan, "finite"),
    ],
)
def test_crops_that_do_not_fit_are_refused(crops, message):
    with pytest.raises(ValueError, match=message):
        next(fit_retinex_steps(lambda number: crops, recipe=QUICK, device="cpu"))


def test_a_fit_that_breaks_down_says_so():
    with pytest.raises(ValueError, match=r"broke down at step \d+: lower recipe.learning_rate"):
        fit(scene(1, 80), replace(QUICK, learning_rate=1e30, iterations=30))


def test_a_recipe_survives_its_dictionary():
    recipe = replace(QUICK, name="mine", losses=RetinexLosses(spectrum=0.05, structure=0))
    assert RetinexRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for strange in ({"color": 1}, {"losses": {"color": 1}}):
        with pytest.raises(ValueError, match="takes"):
            RetinexRecipe.from_dict(strange)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"widths": 3}, TypeError, "widths"),
        ({"widths": ()}, ValueError, "widths"),
        ({"widths": (8,) * 5}, ValueError, "widths"),
        ({"crop": 60}, ValueError, "crop"),
        ({"crop": 68}, ValueError, "crop must be a multiple of 8"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"name": ""}, TypeError, "name"),
        ({"losses": {}}, TypeError, "losses"),
    ],
)
def test_impossible_recipes_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        replace(QUICK, **changed)


def test_impossible_losses_are_refused():
    for name, weight in (("guide", -1.0), ("spectrum", 0.2)):
        with pytest.raises(ValueError, match=name):
            RetinexLosses(**{name: weight})
