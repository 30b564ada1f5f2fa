"""Models by name or from a file: one loader for every method."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from torch import Tensor

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.methods.base import Model
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.checkpoint import is_fit_state
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.model_file import SUFFIX, read_model_file
from napari_noiser.methods.noiser.model import NoiserModel, bundled_file
from napari_noiser.methods.noiser.recipe import BUNDLED, RECIPES, bundled_form

_MODELS: tuple[type[Model], ...] = (NoiserModel, BlindSpotModel, RetinexModel, IRLEModel)


def load_model(name_or_path: str | PathLike[str], *, samples: int = 1, ndim: int = 2) -> Model:
    """Load a bundled model by name, or a model file of any method.

    Parameters
    ----------
    name_or_path : str or path
        "noiser", "noiser-es", "noiser-var3", "structured" or "structured-tiny", or a .safetensors
        file that a model's `save` wrote. What has neither a suffix nor a folder before it is a
        name: a file of the current folder never takes the place of a bundled model.
    samples, ndim : int
        Which of the bundled forms to take: 1 or 3 samples in 2-D, 1 sample in 3-D; of the last
        two 1 sample, for colors as well, of "structured-tiny" in 2-D only. A file says so itself.

    Returns
    -------
    NoiserModel, BlindSpotModel, RetinexModel or IRLEModel
        Ready for `enhance`.

    Raises
    ------
    ValueError
        If nothing of that name is bundled in that form, or the file is damaged or not a model
        of napari-noiser: weights and header are held against a checksum.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> load_model("noiser", samples=3).recipe.iterations
    2000
    """
    if not isinstance(name_or_path, (str, PathLike)):
        raise InputTypeError("model", f"must be a model, a name or a path, got {name_or_path!r}")
    path = Path(name := str(fspath(name_or_path)))
    if name in RECIPES:
        return read_model_file(_bundled_file(name, samples, ndim), _build)
    if path.name == name and not path.suffix:  # a file would have one, or a folder before it
        raise InputError(
            "model",
            f"must be a model, a {SUFFIX} file or one of "
            f"{sorted({name for name, _, _ in BUNDLED})}, got {name!r}",
        )
    return read_model_file(path, _build)


def _build(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> Model:
    if is_fit_state(header):
        raise InputError("", "it is unfinished: go on with it first")
    kind = {name: header[name] for name in ("method", "stage") if name in header}
    for model in _MODELS:
        if model.kind == kind:
            return model.from_header(header, tensors)
    raise InputError("method", f"is unknown: {kind}")


def _bundled_file(name: str, samples: int, ndim: int) -> Path:
    form = bundled_form(name, samples, ndim)
    if form is not None:
        return bundled_file(*form)
    recipe = RECIPES[name]
    recipe.check_samples(samples)
    seen = 1 if recipe.is_denoiser else samples
    forms = ", ".join(f"{n} ({c} samples, {d}-D)" for n, c, d in BUNDLED)
    raise InputError(
        "model",
        f"{name!r} is not bundled with {samples} samples in {ndim}-D; train it "
        f"(train({name!r}, samples={seen}, ndim={ndim})) or take one of: {forms}",
    )
