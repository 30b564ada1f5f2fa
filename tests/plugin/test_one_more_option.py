"""An option that is added to a copy of the definition: all that derives from it has it at once.

Signature, documentation and check are in `tests/engine/test_options.py`, the command line in
`tests/cli/test_cli.py`, the controls in `test_option_controls.py`, preferences in
`test_manifest.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from parts import values

import napari_noiser as noiser
from napari_noiser._validation import check_ints
from napari_noiser.engine import options
from napari_noiser.engine.dask_graph import make_lazy_plan
from napari_noiser.engine.options import DenoiseOptions, EnhanceOptions, Option, Verb
from napari_noiser.engine.plan import make_plan
from napari_noiser.plugin.results.reapply import provenance_of, settings_from_provenance
from napari_noiser.plugin.results.summary import format_provenance

SPAN = Option((1, 2), "tuple", "", check=check_ints, label="span of frames", from_json=tuple)
COUNTS = np.random.default_rng(0).poisson(30, (2, 40, 50)).astype("uint16")
LAYERS = {"enhance": noiser.enhance_layer, "denoise": noiser.denoise_layer}


class MoreToEnhance(EnhanceOptions, total=False):
    """The options of a display, and one more."""

    span: Annotated[tuple[int, ...], SPAN]


class MoreToDenoise(DenoiseOptions, total=False):
    """The options of light, and one more."""

    span: Annotated[tuple[int, ...], SPAN]


@pytest.fixture(params=["enhance", "denoise"])
def verb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """A verb that can be asked for `span`."""
    wider = {"enhance": MoreToEnhance, "denoise": MoreToDenoise}
    monkeypatch.setitem(options._CLASSES, request.param, wider[request.param])
    found: Verb = request.param
    return found


def made(verb: Verb, **given: Any) -> Image:
    """Return a result as it comes back from a file: its provenance has been JSON."""
    result = LAYERS[verb](Image(COUNTS, name="first"), **given)
    result.metadata = json.loads(json.dumps(result.metadata))
    return result


def test_it_is_in_the_provenance(verb: Verb) -> None:
    assert make_plan(COUNTS, verb=verb, span=(3, 4)).describe()["span"] == (3, 4)
    assert make_plan(COUNTS, verb=verb).describe()["span"] == (1, 2)
    result = made(verb, span=(3, 4))
    assert "Span of frames: [3, 4]" in format_provenance(provenance_of(result))
    del result.metadata["napari_noiser"]["span"]  # made before there was the option
    assert provenance_of(result)["span"] == (1, 2)


def test_a_file_knows_it_and_is_not_gone_on_with_by_another(verb: Verb, tmp_path: Path) -> None:
    save = {"enhance": noiser.io.enhance_to_file, "denoise": noiser.io.denoise_to_file}[verb]
    path = save(COUNTS, tmp_path / "it.ome.zarr", span=(3, 4))
    assert save(COUNTS, path, span=(3, 4), resume=True) == path
    with pytest.raises(ValueError, match="another span"):
        save(COUNTS, path, span=(3, 5), resume=True)


def test_another_image_is_treated_likewise(verb: Verb) -> None:
    result = made(verb, span=(3, 4))
    assert settings_from_provenance(provenance_of(result)).options["span"] == (3, 4)
    again = noiser.reapply(result, Image(COUNTS[::-1], name="second"))
    assert again.metadata["napari_noiser"]["span"] == (3, 4)


def test_the_copied_script_asks_for_it(verb: Verb) -> None:
    result = made(verb, span=(3, 4))
    script = noiser.as_python(result)
    assert "\n    span=(3, 4),\n" in script
    namespace = {"given": COUNTS}
    exec(script.replace("image = ...", "image = given"), namespace)
    np.testing.assert_allclose(namespace["result"], values(result), atol=1e-6)


def test_those_who_compute_a_dask_graph_are_told(verb: Verb) -> None:
    lazy = da.from_array(COUNTS, chunks=(1, 40, 50))
    plan = make_lazy_plan(lazy, "auto", verb, span=(3, 4))
    assert plan.describe()["span"] == (3, 4)
    assert plan.template.compute().options["span"] == (3, 4)
    another = make_lazy_plan(lazy, "auto", verb, span=(3, 5)).result()
    assert another.name != plan.result().name
