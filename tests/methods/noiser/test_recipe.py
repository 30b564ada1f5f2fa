"""A recipe cannot be changed, holds only sensible values, and survives JSON."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.noise_sources import GaussianNoise, Palette, PureColor
from napari_noiser.methods.noiser.recipe import (
    RECIPES,
    Recipe,
    as_recipe,
    mean_shifted_recipe,
    target_mean,
)
from napari_noiser.methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure

CHANNEL_VALUES = st.floats(-4, 4)
PARTS = st.floats(0, 1)
BETA = st.floats(0, 1, exclude_max=True)


SPANS = st.tuples(st.floats(1e-3, 1), st.floats(1, 1e3))


def tuples(values):
    return st.lists(values, min_size=1, max_size=4).map(tuple)


SOURCES = st.one_of(
    st.builds(GaussianNoise, mean=tuples(CHANNEL_VALUES), variance=st.floats(1e-6, 1e6)),
    st.builds(PureColor, color=tuples(PARTS)),
    st.builds(Palette, grid=st.integers(1, 64)),
    st.builds(DeadLeaves, smallest=SPANS, elongation=st.floats(1, 50)),
    st.builds(PowerLaw, exponent=SPANS),
    st.builds(Structure, blur=SPANS, haze=PARTS),
)

EXPOSURES = st.one_of(
    st.fixed_dictionaries({"symmetric": st.booleans()}),
    st.fixed_dictionaries({"exposure": st.builds(PhotonNoise, photons=SPANS)}),
)

RECIPE_VALUES = st.builds(
    lambda exposure, **values: Recipe(**exposure, **values),
    exposure=EXPOSURES,
    name=st.text(min_size=1),
    source=SOURCES,
    scales=st.lists(st.integers(1, 64), max_size=3).map(tuple),
    batch=st.integers(1, 64),
    iterations=st.integers(1, 10**6),
    width=st.integers(1, 256),
    size=st.integers(3, 1024),
    size_3d=st.integers(3, 128),
    learning_rate=st.floats(1e-9, 1.0),
    betas=st.tuples(BETA, BETA),
    tv_weight=st.floats(0, 100),
)


@given(RECIPE_VALUES)
def test_recipe_survives_json(recipe):
    text = recipe.to_json()
    assert "\n" not in text
    again = Recipe.from_json(text)
    assert again == recipe
    assert type(again.source) is type(recipe.source)
    assert hash(again) == hash(recipe)


@pytest.mark.parametrize("field", ["name", "iterations", "source", "betas"])
def test_recipe_is_frozen(field):
    recipe = Recipe(name="mine")
    with pytest.raises(FrozenInstanceError):
        setattr(recipe, field, getattr(recipe, field))


@pytest.mark.parametrize("source", [GaussianNoise(), PureColor(), Palette()])
def test_source_is_frozen(source):
    field = next(iter(source.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(source, field, 1)


def test_recipes_cannot_be_replaced():
    with pytest.raises(TypeError):
        RECIPES["noiser"] = Recipe(name="other")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0),
        ("iterations", -1),
        ("width", 0),
        ("size", 2),
        ("size_3d", 2),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-4),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("tv_weight", -0.1),
        ("tv_weight", float("inf")),
        ("tv_weight", float("nan")),
        ("betas", (0.5,)),
        ("betas", (0.5, 0.9, 0.99)),
        ("betas", (1.0, 0.9)),
        ("betas", (0.5, -0.1)),
    ],
)
def test_value_out_of_range_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        Recipe(**{"name": "mine", field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("source", "gaussian"),
        ("source", None),
        ("iterations", 10.0),
        ("iterations", True),
        ("iterations", "10"),
        ("width", 18.0),
        ("size", None),
        ("size_3d", "24"),
        ("learning_rate", "fast"),
        ("learning_rate", True),
        ("tv_weight", None),
        ("betas", ("a", "b")),
        ("betas", 0.5),
        ("betas", None),
    ],
)
def test_value_of_wrong_type_is_named(field, value):
    with pytest.raises(TypeError, match=field):
        Recipe(**{"name": "mine", field: value})


@pytest.mark.parametrize(
    ("source", "field", "value"),
    [
        (GaussianNoise, "variance", 0.0),
        (GaussianNoise, "variance", -1.0),
        (GaussianNoise, "variance", float("nan")),
        (GaussianNoise, "variance", float("inf")),
        (GaussianNoise, "variance", "wide"),
        pytest.param(GaussianNoise, "variance", 10**400, id="huge variance"),
        (GaussianNoise, "mean", None),
        (GaussianNoise, "mean", "dark"),
        pytest.param(GaussianNoise, "mean", 10**400, id="huge mean"),
        (GaussianNoise, "mean", ()),
        (GaussianNoise, "mean", (float("nan"),)),
        (GaussianNoise, "mean", (0.0, float("inf"))),
        (PureColor, "color", "red"),
        (PureColor, "color", ()),
        (PureColor, "color", (-0.1,)),
        (PureColor, "color", (0.5, 1.1)),
        (Palette, "grid", 0),
        (Palette, "grid", -4),
        (Palette, "grid", 2.5),
    ],
)
def test_value_of_source_is_named(source, field, value):
    with pytest.raises((ValueError, TypeError), match=field):
        source(**{field: value})


@pytest.mark.parametrize(
    ("source", "field"), [(GaussianNoise((0.0, 0.1)), "mean"), (PureColor((0.0, 1.0)), "color")]
)
def test_source_for_two_channels_refuses_three(source, field):
    source.check_samples(2)
    with pytest.raises(ValueError, match=field):
        source.check_samples(3)


@pytest.mark.parametrize("source", [GaussianNoise(0.5), PureColor(0.5), Palette()])
def test_one_value_fits_any_number_of_channels(source):
    for samples in (1, 3, 5):
        source.check_samples(samples)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"name": "mine", "unknown": 1}',
        '{"name": "mine", "iterations": 0}',
        '{"name": "mine", "source": {"kind": "perlin"}}',
        '{"name": "mine", "source": {}}',
        '{"name": "mine", "source": {"kind": "gaussian", "grid": 3}}',
    ],
)
def test_foreign_json_is_refused(text):
    with pytest.raises(ValueError, match=r"recipe|source|iterations"):
        Recipe.from_json(text)


def test_fields_left_out_of_json_are_the_papers():
    recipe = Recipe.from_json('{"name": "noiser"}')
    assert (recipe.symmetric, recipe.width, recipe.size) == (False, 18, 104)
    assert recipe == replace(RECIPES["noiser"], symmetric=False, width=18, size=104, size_3d=24)


@pytest.mark.parametrize("name", [name for name in RECIPES if not RECIPES[name].is_denoiser])
def test_papers_hyper_parameters_in_every_recipe_of_the_paper(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert (recipe.learning_rate, recipe.betas) == (2e-4, (0.5, 0.999))
    assert recipe.tv_weight == 1.0


@pytest.mark.parametrize(
    ("name", "source", "iterations"),
    [
        ("noiser", GaussianNoise((0.0,), 1.0), 2000),
        ("noiser-es", GaussianNoise((0.0,), 1.0), 600),
        ("noiser-var3", GaussianNoise((0.0,), 3.0), 2000),
        ("c-regression", PureColor((0.0,)), 2000),
        ("p-regression", Palette(4), 2000),
    ],
)
def test_papers_variants(name, source, iterations):
    assert RECIPES[name].source == source
    assert RECIPES[name].iterations == iterations


def test_ms_noiser_shifts_the_mean_alone():
    recipe = RECIPES["ms-noiser"]
    assert recipe.source.mean == pytest.approx((-0.2,))
    assert replace(recipe, name="noiser", source=GaussianNoise()) == RECIPES["noiser"]


def test_no_further_recipes():
    assert set(RECIPES) == {
        *("noiser", "noiser-es", "noiser-var3", "ms-noiser"),
        *("c-regression", "p-regression"),
        *("structured", "structured-tiny", "structured-large"),
    }


def test_as_recipe_takes_names_and_recipes():
    mine = Recipe(name="noiser", width=4)
    assert as_recipe("noiser") is RECIPES["noiser"]
    assert as_recipe(mine) is mine
    for wrong in ("denoiser", None, 3):
        with pytest.raises(ValueError, match=r"recipe must be .*noiser-var3"):
            as_recipe(wrong)


def test_training_shape_has_a_side_of_its_own_in_3d():
    recipe = Recipe(name="mine", size=10, size_3d=6)
    assert recipe.training_shape(3, 2) == (1, 3, 10, 10)
    assert recipe.training_shape(1, 3) == (1, 1, 6, 6, 6)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_mean_shifted_maps_to_the_networks_range(targets):
    recipe = mean_shifted_recipe(targets)
    assert recipe.name == "ms-noiser"
    assert recipe.source.variance == 1.0
    assert recipe.source.mean == pytest.approx([2 * target - 1 for target in targets])


def test_mean_shifted_takes_one_number():
    assert mean_shifted_recipe(0.5).source.mean == (0.0,)


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan"), [0.5, 2.0], [[0.5]]])
def test_mean_shifted_refuses_what_is_no_target(target):
    with pytest.raises(ValueError, match="target"):
        mean_shifted_recipe(target)


@pytest.mark.parametrize(
    ("reference", "mean"),
    [
        (np.array([[0, 255], [51, 102]], "uint8"), 0.4),
        (np.array([0, 65535, 13107], "uint16"), 0.4),
        (np.array([0.0, 1.0, 0.2], "float32"), 0.4),
        (np.array([0.0, 1.0, 0.2], "float64"), 0.4),
        ([0.25, 0.75], 0.5),
    ],
)
def test_target_mean_of_a_reference(reference, mean):
    assert target_mean(reference) == pytest.approx((mean,), abs=1e-6)


def test_target_mean_of_each_channel():
    reference = np.zeros((5, 4, 3), "uint8")
    reference[..., 1] = 51
    reference[..., 2] = 255
    assert target_mean(reference, samples=3) == pytest.approx((0.0, 0.2, 1.0))
    assert target_mean(reference) == pytest.approx((0.4,))


def test_target_mean_of_many_pixels_is_exact():
    reference = np.full((1100, 1100), 0.1, "float32")
    assert target_mean(reference) == pytest.approx((float(np.float32(0.1)),), rel=1e-9)


def test_target_mean_feeds_mean_shifted():
    reference = np.full((2, 2, 3), (0, 51, 255), "uint8")
    recipe = mean_shifted_recipe(target_mean(reference, samples=3))
    assert recipe.source.mean == pytest.approx((-1.0, -0.6, 1.0))


@pytest.mark.parametrize(
    ("reference", "samples"),
    [
        (np.zeros((0, 3)), 1),
        (np.zeros((4, 4)), 3),
        (np.array([-1.0, -0.5]), 1),
        (np.array([0.5, 200.0]), 1),
        (np.array([-1.0, 2.0]), 1),  # though its mean is 0.5
        (np.array([0.5, np.nan]), 1),
    ],
)
def test_target_mean_refuses_values_and_shapes(reference, samples):
    with pytest.raises(ValueError, match="reference"):
        target_mean(reference, samples=samples)


@pytest.mark.parametrize("dtype", [bool, complex, object, "U3"])
def test_target_mean_refuses_other_types(dtype):
    with pytest.raises(TypeError, match="reference"):
        target_mean(np.ones(4, dtype))
