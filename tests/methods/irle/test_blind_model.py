"""A fitted model survives its file, and no other file passes for one."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from scenes import untrained

from napari_noiser.methods.irle import METHOD
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.registry import load_model


@pytest.fixture
def model():
    return replace(untrained(samples=2, ndim=3, scales=(8,)), losses=(0.5, 0.25))


def test_all_survives(tmp_path, model):
    path = model.save(tmp_path / "mine")
    again = load_model(path)
    assert path.name == "mine.safetensors"
    assert again.describe() == model.describe()
    assert again.describe()["method"] == METHOD == "IRLE, reconstructed from public figures"
    assert again.losses == model.losses
    assert all(torch.equal(again.weights[name], each) for name, each in model.weights.items())


@pytest.mark.parametrize(
    "header",
    [
        None,
        "no JSON",
        {"format": 1},
        {"format": 1, "method": "another"},
        {"format": 2, "method": METHOD},
        {"format": 1, "method": METHOD},
        {"format": 1, "method": METHOD, "stage": "another"},
        {"format": 1, "method": METHOD, "stage": "denoise"},
        {"format": 1, "method": METHOD, "stage": "denoise", "recipe": {"color": 1}},
    ],
)
def test_other_files_are_refused(tmp_path, model, header):
    path = tmp_path / "other.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(model.weights, path, metadata={"napari_noiser": text} if header else None)
    with pytest.raises(ValueError, match="not a readable model"):
        load_model(path)


def test_no_file_and_no_tensors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(ValueError, match="not a readable model"):
        load_model(tmp_path / "text.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": {}}, "weights are too few"),
        ({"samples": 1}, "weights must have the shapes"),
        ({"seed": -1}, "seed"),
        ({"ndim": 4}, "ndim"),
        ({"scaling": Scaling(0.0, 0.0, 0.0)}, "scale must"),
        ({"scaling": Scaling(0.0, 1.0, 0.0, noise=(0.0, 1.0))}, "noise must"),
        ({"scaling": Scaling(0.0, 1.0, 0.0)}, "noise must be one a sample"),
        ({"losses": (float("nan"),)}, "losses"),
    ],
)
def test_what_is_no_model_is_refused(model, changed, message):
    with pytest.raises(ValueError, match=message):
        replace(model, **changed)


def test_weights_are_finite_float32(model):
    name = next(iter(model.weights))
    for bad in (model.weights[name].double(), model.weights[name] * torch.nan):
        with pytest.raises(ValueError, match="weights must be finite float32"):
            replace(model, weights={**model.weights, name: bad})


def test_recipe_survives_its_dictionary():
    recipe = BlindSpotRecipe(name="mine", scales=(4, 5), spacing=2, crop=48)
    assert BlindSpotRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"spacing": 1}, ValueError, "spacing"),
        ({"scales": 3}, TypeError, "scales"),
        ({"scales": (8,) * 9}, ValueError, "grid"),
        ({"crop": 8}, ValueError, "crop"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"name": ""}, TypeError, "name"),
        ({"gain": "mine"}, ValueError, "gain"),
        ({"jitter": -1}, ValueError, "jitter"),
        ({"iterations": 1.5}, TypeError, "iterations"),
    ],
)
def test_impossible_recipes_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        BlindSpotRecipe(**changed)
