"""Fitting to one's own images: chosen, canceled, gone on with and applied as one would."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from parts import is_there, labels, part_of
from scenes import counts, light
from superqt import QCollapsible

import napari_noiser as noiser
import napari_noiser.plugin.tasks.background_task as worker
from napari_noiser.plugin.results.reapply import provenance_of
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.fit_panel import FitPanel
from napari_noiser.plugin.widgets.plots_section import PlotsSection

TINY = noiser.recipes.BlindSpotRecipe(iterations=3, width=4, scales=(4,), crop=64, batch=1)
LONG = replace(TINY, iterations=100_000)
DIM = counts(light()).astype("float32")
OTHER = counts(light(seed=4), seed=5).astype("float32")


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(DIM, name="dim")
    return viewer


@pytest.fixture
def widget(widget: NoiserWidget) -> NoiserWidget:
    for box in widget.native.findChildren(QCollapsible):
        box.expand(animate=False)
    return widget


@pytest.fixture
def panel(widget: NoiserWidget) -> FitPanel:
    """The panel, with a recipe that is fitted in no time."""
    widget.controls.method.value = "images"
    widget.controls.fit.show_recipe(TINY)
    return widget.training.fitting


def canceled(widget: NoiserWidget, qtbot, wait_for_run, steps: int = 3) -> int:
    """Start a long fit, cancel it after some steps, and return how many there were."""
    panel = widget.training.fitting
    widget.controls.fit.show_recipe(LONG)
    seen = part_of(widget, PlotsSection)
    panel.fit.native.click()
    qtbot.waitUntil(lambda: len(seen.figure.panels) == 1, timeout=60_000)
    qtbot.waitUntil(lambda: seen.figure.panels[0].x[-1] >= steps, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    return panel._last.state.done


def test_the_method_comes_first_and_shows_its_own_options(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    chosen, section = widget.controls, widget.training
    chosen.model.value = "noiser"  # which takes no noise of a camera
    assert (section.noise.visible, section.fitting.visible) == (True, False)
    noise = (chosen.options["camera"], chosen.options["repair"])
    assert not any(is_there(control) for control in noise)
    chosen.method.value = "images"
    assert (section.noise.visible, section.fitting.visible) == (False, True)
    assert all(is_there(control) for control in noise)
    assert chosen.fit.recipe_for("images") == noiser.recipes.BlindSpotRecipe()
    chosen.model.value = "structured"
    assert (section.noise.visible, section.fitting.visible) == (True, False)


def test_both_stages_are_fitted_applied_and_shown(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, wait_for_run, monkeypatch
) -> None:
    quick = partial(
        noiser.recipes.IRLERecipe,
        retinex=noiser.recipes.RetinexRecipe(iterations=2, widths=(4, 4)),
    )
    monkeypatch.setattr("napari_noiser.plugin.widgets.fit_form.IRLERecipe", quick)
    widget.controls.method.value = "both"
    assert not is_there(widget.controls.fit.fields["gain"])
    panel.fit.native.click()
    wait_for_run()
    model = widget.controls.model.value
    assert model.recipe == quick(denoiser=replace(TINY, gain="given"))
    assert widget.controls.method.value == "both"
    plots = part_of(widget, PlotsSection)
    learned = [(panel.x.tolist(), tuple(panel.y)) for panel in plots.figure.panels]
    assert learned == [
        ([0.5, 1.5], model.retinex.losses),
        ([2.5, 3.5, 4.5], model.denoiser.losses),
    ]
    widget.apply.native.click()
    wait_for_run()
    shown = viewer.layers["dim (irle)"]
    assert_alike(shown.data, noiser.enhance(DIM, model))
    assert "both stages" in format_provenance(provenance_of(shown))
    again = noiser.reapply(shown, viewer.layers["dim"], model=model)
    assert_alike(again.data, shown.data)


def test_every_control_says_what_it_is(panel: FitPanel, widget: NoiserWidget) -> None:
    chosen = widget.controls
    for control in (chosen.method, chosen.seed, panel.fit, *chosen.fit.fields.values()):
        assert len(control.tooltip) > 40


def test_the_options_are_the_recipes(widget: NoiserWidget) -> None:
    form = widget.controls.fit
    form.show_recipe(TINY)
    assert form.recipe_for("images") == TINY
    form.fields["iterations"].value, form.fields["width"].value = 7, 9
    form.fields["gain"].value = "none"
    assert form.recipe_for("images") == replace(TINY, iterations=7, width=9, gain="none")
    form.show_recipe(replace(TINY, gain="given"))
    assert form.recipe_for("images").gain == "given"


def test_a_fit_is_added_to_the_list_and_applied(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, wait_for_run
) -> None:
    chosen = widget.controls
    chosen.seed.value = 4
    panel.fit.native.click()
    assert (panel.fit.enabled, widget.cancel.enabled) == (False, True)
    wait_for_run()
    assert panel.fit.enabled
    assert (panel.fit.text, panel.state.value) == ("Fit", "")
    model = chosen.model.value
    assert (model.recipe, model.seed, model.ndim) == (TINY, 4, 2)
    assert labels(widget)[-1] == "blind spot (fitted to dim, gray, 2-D)"
    assert chosen.method.value == "images"
    noise = (chosen.options["camera"], chosen.options["repair"])
    assert all(is_there(control) for control in (chosen.verb, *noise))
    expected = noiser.fit(DIM, TINY, device="cpu", seed=4)
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(model.weights[name], weight, atol=1e-4)
    chosen.verb.value = "denoise"
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (blind spot, counts)"]
    assert_alike(result.data, noiser.denoise(DIM, model))
    made = result.metadata["napari_noiser"]
    assert made["method"] == "IRLE, reconstructed from public figures"
    assert made["fingerprint"] == model.fingerprint


def test_what_is_chosen_above_is_what_is_fitted_to(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, wait_for_run
) -> None:
    second = viewer.add_image(np.stack([OTHER] * 3), name="stack")
    viewer.add_image(np.stack([DIM] * 4), name="more")
    viewer.layers.selection = {second, viewer.layers["more"]}
    widget.controls.image.value = second
    widget.controls.options["ndim"].value = 3
    widget.controls.options["repair"].value = False
    panel.fit.native.click()
    wait_for_run()
    assert labels(widget)[-1] == "blind spot (fitted to stack and 1 other, gray, 3-D)"
    images = [second.data, viewer.layers["more"].data]
    expected = noiser.fit(images, TINY, axes="ZYX", ndim=3, repair=False, device="cpu")
    found = widget.controls.model.value
    assert found.scaling == pytest.approx(expected.scaling) or found.ndim == 3
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(found.weights[name], weight, atol=1e-4)


def test_colors_are_fitted_to_together(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, wait_for_run
) -> None:
    color = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    layer = viewer.add_image((color / 2).clip(0, 255).astype(np.uint8), rgb=True, name="rgb")
    widget.controls.image.value = layer
    widget.controls.options["colors"].value = "kept"  # as chosen for another model
    panel.fit.native.click()
    wait_for_run()
    assert labels(widget)[-1] == "blind spot (fitted to rgb, RGB, 2-D)"
    assert not is_there(widget.controls.options["colors"])
    widget.apply.native.click()
    wait_for_run()
    assert viewer.layers["rgb (blind spot)"].data.shape == (256, 256, 3)


# canceled


def test_a_canceled_fit_is_gone_on_with(
    widget: NoiserWidget, panel: FitPanel, qtbot, wait_for_run
) -> None:
    before = canceled(widget, qtbot, wait_for_run)
    assert 3 <= before < 100_000
    assert widget.status.value.startswith("canceled: fitting to dim, loss ")
    assert panel.fit.text == "Go on fitting"
    assert panel.state.value == f"Canceled after {before} of 100000 steps."
    assert labels(widget)[-1] == "p-regression (trains first)"
    seen = part_of(widget, PlotsSection)
    panel.fit.native.click()
    qtbot.waitUntil(lambda: seen.figure.panels[0].x[-1] > before, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    assert panel._last.state.done > before
    assert (np.diff(seen.figure.panels[0].x) > 0).all()  # one curve, from the first step


def test_gone_on_with_it_ends_as_if_never_stopped(
    widget: NoiserWidget, panel: FitPanel, qtbot, wait_for_run, monkeypatch
) -> None:
    recipe = replace(TINY, iterations=40)
    widget.controls.fit.show_recipe(recipe)
    monkeypatch.setattr(worker, "_REFRESH", 0.0)

    def stop_at_two(event: Any) -> None:
        if event.stage == "fit" and event.done == 2:
            widget.stop()

    progressed = worker.BackgroundTask.signals.progressed
    progressed.connect(stop_at_two)
    try:
        panel.fit.native.click()
        wait_for_run()
    finally:
        progressed.disconnect(stop_at_two)
    assert panel.fit.text == "Go on fitting"
    assert 2 <= panel._last.state.done < 40
    panel.fit.native.click()
    wait_for_run()
    found = widget.controls.model.value
    assert (panel.fit.text, panel._last.state) == ("Fit", None)
    monkeypatch.undo()
    widget.controls.model.remove_chosen()
    widget.controls.method.value = "images"
    widget.controls.fit.show_recipe(recipe)
    panel.fit.native.click()
    wait_for_run()
    assert widget.controls.model.value.fingerprint == found.fingerprint


def test_another_choice_begins_anew(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, qtbot, wait_for_run
) -> None:
    chosen, form = widget.controls, widget.controls.fit
    viewer.add_image(OTHER, name="other")
    chosen.image.value = viewer.layers["dim"]
    canceled(widget, qtbot, wait_for_run)
    for control, other in (
        (chosen.image, viewer.layers["other"]),
        (chosen.options["repair"], False),
        (chosen.seed, 3),
        (chosen.options["camera"], None),
        (form.fields["width"], 5),
        (form.fields["gain"], "light"),
    ):
        kept, control.value = control.value, other
        assert panel.fit.text == "Fit"
        assert "choose that again to go on" in panel.state.value
        control.value = kept
        assert panel.fit.text == "Go on fitting"
    viewer.layers.selection = {*viewer.layers}  # both are to be fitted to
    assert panel.fit.text == "Fit"
    chosen.others.value = False
    assert panel.fit.text == "Go on fitting"
    viewer.layers["dim"].data = OTHER
    form.show_recipe(replace(TINY, iterations=4))
    panel.fit.native.click()
    wait_for_run()
    assert chosen.model.value.recipe.iterations == 4
    assert (panel.fit.text, panel.state.value) == ("Fit", "")


def test_what_was_written_into_the_image_meanwhile_is_told(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, qtbot, wait_for_run
) -> None:
    viewer.layers["dim"].data = DIM.copy()
    canceled(widget, qtbot, wait_for_run)
    viewer.layers["dim"].data[:] = OTHER * 3
    panel.fit.native.click()
    wait_for_run()
    assert "resume is of another fit" in widget.status.value
    assert panel.fit.text == "Fit"


def test_an_attempt_that_never_begins_costs_nothing(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel, qtbot, wait_for_run
) -> None:
    chosen = widget.controls
    small = viewer.add_image(DIM[:100, :100], name="small")
    chosen.image.value = viewer.layers["dim"]
    before = canceled(widget, qtbot, wait_for_run)
    chosen.image.value = small
    panel.fit.native.click()
    wait_for_run()
    assert "too few pixels" in widget.status.value
    chosen.image.value = viewer.layers["dim"]
    assert panel.fit.text == "Go on fitting"
    assert panel.state.value == f"Canceled after {before} of 100000 steps."


def test_the_fit_stops_when_the_widget_leaves(
    widget: NoiserWidget, panel: FitPanel, qtbot, wait_for_run
) -> None:
    widget.controls.fit.show_recipe(LONG)
    panel.fit.native.click()
    qtbot.waitUntil(lambda: ": fit " in widget.status.value, timeout=60_000)
    widget.training.on_leave()
    wait_for_run(10_000)
    assert widget.status.value.startswith("canceled")


# what cannot be


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DIM[:100, :100], "too few pixels"),
        (np.full((256, 256), 7.0), "'bad' is constant: there is nothing to learn"),
        (np.full((256, 256), np.nan), "'bad' must be finite throughout"),
    ],
)
def test_what_cannot_be_fitted_to_is_said(
    widget: NoiserWidget,
    panel: FitPanel,
    viewer: ViewerModel,
    wait_for_run,
    data: np.ndarray,
    said: str,
) -> None:
    widget.controls.image.value = viewer.add_image(data, name="bad")
    panel.fit.native.click()
    wait_for_run()
    assert widget.status.value.startswith("failed: ")
    assert said in widget.status.value
    assert panel.fit.text == "Fit"
    assert panel.fit.enabled


def test_noise_that_is_not_considered_cannot_be_weighed(
    widget: NoiserWidget, panel: FitPanel, wait_for_run
) -> None:
    widget.controls.options["camera"].value = None
    panel.fit.native.click()
    wait_for_run()
    assert "camera noise must be known" in widget.status.value


def test_what_is_wrong_before_any_work_is_said_at_once(
    widget: NoiserWidget, panel: FitPanel, viewer: ViewerModel
) -> None:
    viewer.add_image(np.stack([DIM] * 3), name="stack")
    viewer.layers.selection = {*viewer.layers}
    panel.fit.native.click()
    assert widget.status.value.startswith("axes must be the same for all images")
    assert "'YX' of dim" in widget.status.value
    viewer.layers.clear()
    panel.fit.native.click()
    assert "Open an image first" in widget.status.value
