"""A model survives its file, and no other file passes for one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_noiser.engine.enhance import enhance
from napari_noiser.methods.noiser.model import NoiserModel, bundled_file
from napari_noiser.methods.noiser.noise_sources import GaussianNoise
from napari_noiser.methods.noiser.recipe import BUNDLED, RECIPES, Recipe
from napari_noiser.methods.noiser.training import train, train_steps
from napari_noiser.methods.registry import load_model

RECIPE = Recipe(
    name="mine", source=GaussianNoise((0.1, 0.2, 0.3), 2.0), iterations=2, size=8, width=4
)


@pytest.fixture(scope="module")
def model():
    return train(RECIPE, samples=3, device="cpu", seed=11)


@pytest.fixture
def saved(model, tmp_path):
    return model.save(tmp_path / "mine.safetensors")


def header_of(model, **changed):
    values = {"format": 1, "recipe": model.recipe.to_dict(), "samples": 3, "ndim": 2, "seed": 11}
    return {**values, "trained_on": "cpu", **changed}


def write(path, weights, header):
    """Write a file of one's own making; a header that is no string is written as JSON."""
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(weights, path, metadata={"napari_noiser": text})
    return path


@pytest.mark.parametrize(("samples", "ndim", "seed"), [(1, 2, 0), (3, 2, 5), (1, 3, 2**63 - 1)])
def test_model_survives_its_file(tmp_path, samples, ndim, seed):
    recipe = Recipe(name="noiser", iterations=2, size=8, size_3d=5, width=3)
    model = train(recipe, samples=samples, ndim=ndim, device="cpu", seed=seed)
    again = load_model(model.save(tmp_path / "m.safetensors"), samples=7, ndim=9)
    assert (again.recipe, again.seed) == (recipe, seed)
    assert (again.samples, again.ndim) == (samples, ndim)
    assert again.fingerprint == model.fingerprint
    assert again.describe() == model.describe()
    for name, value in model.weights.items():
        assert torch.equal(again.weights[name], value)


def test_a_model_remembers_how_it_learned(model, saved):
    steps = train_steps(RECIPE, samples=3, device="cpu", seed=11)
    assert model.losses == pytest.approx([step.loss for step in steps], rel=1e-4)
    assert load_model(saved).losses == model.losses
    assert "losses" not in model.describe()


def test_a_long_training_is_remembered_in_200_stretches(tmp_path):
    recipe = Recipe(name="long", iterations=401, size=4, width=1)
    losses = [step.loss for step in train_steps(recipe, device="cpu")]
    model = train(recipe, device="cpu")
    assert len(model.losses) == 200
    assert np.average(model.losses, weights=[3] + [2] * 199) == pytest.approx(
        np.mean(losses), rel=1e-4
    )
    assert model.losses[-1] == pytest.approx(np.mean(losses[-2:]), rel=1e-4)
    file = model.save(tmp_path / "long")
    assert load_model(file).losses == model.losses
    assert file.stat().st_size < 4000


def test_a_file_of_before_is_read_and_tells_no_losses(model, tmp_path):
    header = header_of(model)
    for name, earlier in (("samples", "channels"), ("trained_on", "device")):
        header[earlier] = header.pop(name)
    old = load_model(write(tmp_path / "old.safetensors", model.weights, header))
    assert old.losses == ()
    assert old.fingerprint == model.fingerprint
    again = load_model(old.save(tmp_path / "again"))
    assert (again.losses, again.describe()) == ((), model.describe())


@pytest.mark.parametrize("name", ["mine", "mine.v2", "mine.safetensors"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_suffix_is_appended_where_it_is_missing(model, tmp_path, name, kind):
    written = model.save(kind(tmp_path / name))
    assert written == tmp_path / (name.removesuffix(".safetensors") + ".safetensors")
    assert [path.name for path in tmp_path.iterdir()] == [written.name]
    assert load_model(kind(written)).fingerprint == model.fingerprint


def test_existing_file_is_replaced(model, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"x" * 100_000)
    assert load_model(model.save(path)).fingerprint == model.fingerprint


def test_unwritable_place_is_an_os_error(model, tmp_path):
    with pytest.raises(OSError, match="missing"):
        model.save(tmp_path / "missing" / "mine")


def test_description_is_json(model):
    said = json.loads(json.dumps(model.describe()))
    assert Recipe.from_dict(said["recipe"]) == RECIPE
    assert (said["seed"], said["fingerprint"]) == (11, model.fingerprint)


def test_fingerprint_tells_weights_apart(model):
    changed = {name: value.clone() for name, value in model.weights.items()}
    changed["second_bias"][0] += 1e-6
    other = NoiserModel(model.recipe, 3, 2, 11, changed)
    assert other.fingerprint != model.fingerprint
    assert len(model.fingerprint) == 12
    int(model.fingerprint, 16)
    same = NoiserModel(Recipe(name="other", width=4), 3, 2, 0, model.weights)
    assert same.fingerprint == model.fingerprint


def test_another_name_is_the_same_model(model, tmp_path):
    other = model.renamed("other")
    assert (other.name, model.name) == ("other", "mine")
    assert (other.fingerprint, other.losses) == (model.fingerprint, model.losses)
    again = load_model(other.save(tmp_path / "file"))
    assert again.describe() == {**model.describe(), "recipe": other.recipe.to_dict()}
    assert again.losses == model.losses
    for name in ("", None):
        with pytest.raises(TypeError, match="name must be a string that is not empty"):
            model.renamed(name)


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\x80\x04pickle.", b"\x00" * 64, b"\xff" * 64, b"{}" * 50]
)
def test_corrupt_file_is_refused(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.safetensors is not a readable model"):
        load_model(path)


@pytest.mark.parametrize("kept", [4, 8, 100, -1])
def test_truncated_file_is_refused(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"mine\.safetensors is not a readable model"):
        load_model(saved)


def test_foreign_safetensors_file_is_refused(model, tmp_path):
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file(model.weights, path, metadata=metadata)
        with pytest.raises(ValueError, match=r"is not a readable model of napari-noiser.*missing"):
            load_model(path)


@pytest.mark.parametrize("missing", ["format", "recipe", "samples", "ndim", "seed", "trained_on"])
def test_header_without_a_value_is_refused(model, tmp_path, missing):
    header = header_of(model)
    del header[missing]
    with pytest.raises(ValueError, match=f"{missing}.*missing"):
        load_model(write(tmp_path / "m.safetensors", model.weights, header))


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"recipe": {}},
        {"recipe": "noiser"},
        {"recipe": {"name": "mine", "width": 0}},
        {"recipe": {"name": "mine", "width": 5}},
        {"recipe": {"name": "mine", "source": {"kind": "perlin"}}},
        {"recipe": {"name": "mine", "exec": "import os"}},
        {"recipe": {"name": "mine", "source": {"kind": "gaussian", "variance": 10**400}}},
        {"recipe": ["name"]},
        {"samples": 1},
        {"samples": "3"},
        {"samples": 3.0},
        {"samples": -3},
        {"samples": True},
        {"samples": None},
        {"ndim": 3},
        {"ndim": 2.0},
        {"ndim": "2"},
        {"seed": "eleven"},
        {"seed": None},
        {"seed": -1},
        {"seed": 0.5},
        {"losses": None},
        {"losses": "0.5"},
        {"losses": ["0.5"]},
        {"losses": {"0": 0.5}},
        {"losses": [0.5, float("nan")]},
        {"losses": [10**400]},
    ],
)
def test_header_with_a_wrong_value_is_refused(model, tmp_path, changed):
    path = write(tmp_path / "m.safetensors", model.weights, header_of(model, **changed))
    with pytest.raises(ValueError, match=r"m\.safetensors is not a"):
        load_model(path)


@pytest.mark.parametrize("header", ["", "no json", "[]", "null", "3", '"text"', "[" * 100_000])
def test_header_that_is_no_object_is_refused(model, tmp_path, header):
    with pytest.raises(ValueError, match=r"m\.safetensors is not a"):
        load_model(write(tmp_path / "m.safetensors", model.weights, header))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["first_weight", "second_bias"])
def test_weights_that_are_not_finite_are_refused(model, tmp_path, name, number):
    weights = {key: value.clone() for key, value in model.weights.items()}
    weights[name].view(-1)[0] = number
    with pytest.raises(ValueError, match=f"finite.*{name}"):
        load_model(write(tmp_path / "m.safetensors", weights, header_of(model)))
    with pytest.raises(ValueError, match=f"finite.*{name}"):
        NoiserModel(model.recipe, 3, 2, 11, weights)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32])
def test_weights_of_another_type_are_refused(model, tmp_path, dtype):
    weights = {name: value.to(dtype) for name, value in model.weights.items()}
    with pytest.raises(ValueError, match="float32"):
        load_model(write(tmp_path / "m.safetensors", weights, header_of(model)))


@pytest.mark.parametrize("change", ["cut", "reshape", "leave out", "add"])
def test_weights_of_wrong_shapes_are_refused(model, tmp_path, change):
    weights = dict(model.weights)
    first = weights.pop("first_weight")
    if change == "cut":
        weights["first_weight"] = first[:2].clone()
    elif change == "reshape":
        weights["first_weight"] = first.reshape(4, 27).clone()
    elif change == "add":
        weights |= {"first_weight": first, "third_weight": torch.ones(2)}
    with pytest.raises(ValueError, match="weights must have the shapes"):
        load_model(write(tmp_path / "m.safetensors", weights, header_of(model)))


def test_model_of_four_dimensions_is_refused(model):
    """Its weights agree with each other, but nothing can render them."""
    weights = dict(model.weights)
    for name in ("first_weight", "second_weight"):
        weights[name] = weights[name][..., None, None].expand(-1, -1, 3, 3, 3, 3)
    with pytest.raises(ValueError, match="ndim"):
        NoiserModel(model.recipe, 3, 4, 11, weights)


@pytest.mark.parametrize("name", ["missing.safetensors", "folder/missing", "folder"])
def test_missing_file(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load_model(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        load_model(str(tmp_path / name))


def test_unknown_name_says_what_there_is():
    with pytest.raises(ValueError, match=r"noiser-es.*noiser-var3.*got 'denoiser'"):
        load_model("denoiser")


@pytest.mark.parametrize(
    ("name", "samples", "ndim"),
    [("noiser", 2, 2), ("noiser", 3, 3), ("ms-noiser", 1, 2), ("c-regression", 3, 2)],
)
def test_form_that_is_not_bundled_says_what_is(name, samples, ndim):
    with pytest.raises(ValueError, match=rf"{name}.*train\(.*noiser-var3 \(1 samples, 3-D\)"):
        load_model(name, samples=samples, ndim=ndim)


def test_bundle_holds_the_papers_recipes_in_three_forms_and_structured_in_two_sizes():
    forms = {(1, 2), (3, 2), (1, 3)}
    names = {"noiser", "noiser-es", "noiser-var3"}
    papers = {(name, *form) for name in names for form in forms}
    structured = {("structured", 1, 2), ("structured", 1, 3), ("structured-tiny", 1, 2)}
    assert set(BUNDLED) == papers | structured
    assert load_model("structured", samples=3).samples == 1


@pytest.mark.parametrize(("name", "samples", "ndim"), BUNDLED)
def test_bundled_model(name, samples, ndim):
    model = load_model(name, samples=samples, ndim=ndim)
    assert (model.name, model.seed) == (name, 0)
    if model.begun_from:  # what planes taught takes fewer steps
        assert model.begun_from == load_model(name).fingerprint
        assert replace(model.recipe, iterations=RECIPES[name].iterations) == RECIPES[name]
    else:
        assert model.recipe == RECIPES[name]
    far = {"structured": 19, "structured-tiny": 9}.get(name, 2)
    assert model.halo == (*(1 if model.traits.is_denoiser else far,) * (ndim - 2), far, far)
    assert (model.samples, model.ndim) == (samples, ndim)
    assert model.losses == ()
    file = bundled_file(name, samples, ndim)
    most = {"structured": 450_000, "structured-tiny": 35_000}
    assert file.stat().st_size < most.get(name, 6000)
    assert sum(each.numel() for each in model.weights.values()) <= 100_000
    assert set(load_file(file)) == set(model.weights)


def test_bundled_models_all_differ():
    found = {load_model(n, samples=c, ndim=d).fingerprint for n, c, d in BUNDLED}
    assert len(found) == len(BUNDLED)


@pytest.mark.slow
def test_retraining_a_bundled_model_renders_the_same():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    image = rng.poisson(4 + 3 * np.sin(rows / 9) * np.cos(columns / 13)).astype("uint16")
    outputs = [
        enhance(image, model, device="cpu")
        for model in (train("noiser", device="cpu", seed=0), load_model("noiser"))
    ]
    assert outputs[1].std() > 0.05
    np.testing.assert_allclose(*outputs, atol=0.02)
