"""Any model by its name or its file, whatever method it is of."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel, load_blind_spot, stage_of
from napari_noiser.methods.irle.retinex.model import RetinexModel, load_retinex
from napari_noiser.methods.irle.two_stage.model import IRLEModel, load_two_stages
from napari_noiser.methods.noiser.model import Model
from napari_noiser.methods.noiser.model import load_model as load_srm

__all__ = ["AnyModel", "load_model"]

AnyModel = Model | BlindSpotModel | RetinexModel | IRLEModel
"""What `napari_noiser.enhance` renders."""

_FITTED: dict[str | None, Callable[[str | PathLike[str]], AnyModel]] = {
    "denoise": load_blind_spot,
    "light": load_retinex,
    "both": load_two_stages,
}


def load_model(name_or_path: str | PathLike[str], *, samples: int = 1, ndim: int = 2) -> AnyModel:
    """Load a bundled model by name, or a model file of any method.

    Parameters
    ----------
    name_or_path : str or path
        "noiser", "noiser-es", "noiser-var3", "structured" or "structured-tiny", or a .safetensors
        file that a model's `save` wrote.
    samples, ndim : int
        Which of the bundled forms to take: 1 or 3 channels in 2-D, 1 channel in 3-D; of
        the last two 1 channel, for colors as well, of "structured-tiny" in 2-D only. A file says
        so itself.

    Returns
    -------
    Model, BlindSpotModel, RetinexModel or IRLEModel
        Ready for `enhance`.

    Raises
    ------
    ValueError
        If nothing of that name is bundled in that form, or the file is corrupt or not a model
        of napari-noiser.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> load_model("noiser", samples=3).recipe.iterations
    2000
    """
    if isinstance(name_or_path, (str, PathLike)):
        stage = stage_of(fspath(name_or_path))
        if stage == "unfinished":
            raise InputError(
                "", f"{fspath(name_or_path)} is an unfinished fit: go on with it first"
            )
        if stage in _FITTED:
            return _FITTED[stage](name_or_path)
    return load_srm(name_or_path, samples=samples, ndim=ndim)
