"""A recipe is written into a form and read back; what is wrong is said of the field it is in."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.noise_sources import GaussianNoise, Palette, PureColor
from napari_noiser.methods.noiser.recipe import KINDS, RECIPES, Recipe, mean_shifted_recipe
from napari_noiser.plugin.widgets.recipe_fields import (
    from_text,
    recipe_fields,
    to_text,
    validate,
)

DECIMALS = ": decimals take a point, a comma stands between numbers"
UNUSUAL = Recipe(
    name="3, really",
    source=GaussianNoise((0.1, -1e-7, 1 / 3), 2.5),
    learning_rate=1e-3,
    betas=(0, 0.25),
    iterations=7,
)


@pytest.mark.parametrize(
    "recipe", [*RECIPES.values(), mean_shifted_recipe((0.3, 0.45, 0.6)), UNUSUAL]
)
def test_what_is_written_reads_as_the_same_recipe(recipe: Recipe) -> None:
    assert from_text(to_text(recipe)) == recipe
    assert validate(to_text(recipe)) == {}


def test_every_field_has_an_entry_that_says_what_it_does() -> None:
    found = list(recipe_fields())
    plain = {field.name for field in fields(Recipe)} - set(KINDS)
    kinds = {f"{part}.kind" for part in KINDS}
    assert {each.name for each in found if not each.part} == plain | kinds
    for part, classes in KINDS.items():
        for kind, cls in classes.items():
            names = {each.name for each in found if (each.part, each.kind) == (part, kind)}
            assert names == {f"{part}.{field.name}" for field in fields(cls)}
    for entry in found:
        said, _, name = entry.help.rpartition("\nIn a script: ")
        assert len(said) > 40
        assert name == entry.name.removesuffix(".kind").removeprefix(f"{entry.part}.")
        assert entry.label
    labels = {each.name: each.label for each in found}
    assert len(set(labels.values())) == len(labels)
    assert from_text({each.name: each.default for each in found if not each.part}).name


@pytest.mark.parametrize(
    ("recipe", "standing"),
    [
        (Recipe(name="a"), {"mean", "variance"}),
        (Recipe(name="a", source=PureColor()), {"color"}),
        (Recipe(name="a", source=Palette()), {"grid"}),
    ],
)
def test_only_the_fields_of_the_chosen_kind_stand_in_it(recipe: Recipe, standing: set) -> None:
    texts = to_text(recipe)
    found = {each.name for each in recipe_fields() if each.applies_to(texts)}
    assert found == set(texts)
    assert {name[7:] for name in found if name.startswith("source.")} == {"kind", *standing}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name", ""),
        ("iterations", "0"),
        ("iterations", "many"),
        ("iterations", "2.5"),
        ("width", ""),
        ("width", "1, 2"),
        ("size", "2"),
        ("size_3d", "-24"),
        ("learning_rate", "0"),
        ("learning_rate", "nan"),
        ("betas", "0.5"),
        ("betas", "0.5, 1"),
        ("betas", "0.5, much"),
        ("tv_weight", "-1"),
        ("tv_weight", "0,5"),
        ("source.mean", "dark"),
        ("source.mean", "0, inf"),
        ("source.variance", "0"),
    ],
)
def test_a_fault_is_in_its_field_and_in_the_recipes_own_words(name: str, text: str) -> None:
    texts = {**to_text(RECIPES["noiser"]), name: text}
    found = validate(texts)
    assert set(found) == {name}
    assert found[name].startswith(f"{name.removeprefix('source.')} must")
    with pytest.raises((TypeError, ValueError)) as error:
        from_text(texts)
    assert str(error.value) == found[name]


@pytest.mark.parametrize(
    "name", ["width", "betas", "tv_weight", "source.variance", "exposure.photons"]
)
def test_what_is_not_written_is_called_empty(name: str) -> None:
    texts = {**to_text(Recipe(name="any", exposure=PhotonNoise())), name: " "}
    assert validate(texts)[name].endswith(", but it is empty")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("source.variance", "1,5"),
        ("tv_weight", "0,5"),
        ("iterations", "1,000"),
        ("betas", "0,5, 0,999"),
        ("exposure.photons", "0,5, 100"),
        ("exposure.read_share", "0,5"),
    ],
)
def test_a_comma_before_decimals_is_told_from_one_between_numbers(name: str, text: str) -> None:
    texts = {**to_text(Recipe(name="any", exposure=PhotonNoise())), name: text}
    assert validate(texts)[name].endswith(f"got '{text}'{DECIMALS}")


def test_and_so_where_a_channel_has_one_value_each() -> None:
    fault = validate({**to_text(RECIPES["noiser"]), "source.mean": "0,5"}, (1, 2))["source.mean"]
    assert fault.endswith(f"got 2: (0.0, 5.0){DECIMALS}")


def test_of_several_numbers_it_is_not_said() -> None:
    plain = to_text(RECIPES["noiser"])
    for name, text in {"scales": "16,0", "betas": "0.5, 1", "width": "1, 2"}.items():
        assert "decimals" not in validate({**plain, name: text})[name]
    assert validate({**plain, "name": "0,5"}) == {}


def test_every_fault_is_found() -> None:
    texts = {**to_text(RECIPES["p-regression"]), "width": "0", "source.grid": "x", "betas": ""}
    assert set(validate(texts)) == {"width", "source.grid", "betas"}


def test_values_a_channel_must_fit_the_image() -> None:
    texts = to_text(replace(RECIPES["noiser"], source=GaussianNoise((0.1, 0.2, 0.3))))
    assert validate(texts, (3, 2)) == {}
    assert "one a sample (1), got 3" in validate(texts, (1, 2))["source.mean"]
    with pytest.raises(ValueError, match="mean must hold"):
        from_text(texts, (1, 2))
