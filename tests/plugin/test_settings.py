"""Preferences from napari's own dialog, and defaults without it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_noiser.plugin.settings import Settings


def test_preferences_are_read(plugin_settings, npe2pm) -> None:
    from napari.settings import get_plugin_settings

    path = Path(str(resources.files("napari_noiser") / "napari.yaml"))
    npe2pm.register(PluginManifest.from_file(path))
    assert Settings.from_preferences() == Settings()
    chosen = get_plugin_settings("napari-noiser").defaults
    chosen.model, chosen.statistics, chosen.dtype = "noiser-es", "plane", "uint16"
    assert Settings.from_preferences() == Settings(
        model="noiser-es", options={"statistics": "plane", "dtype": "uint16"}
    )
    chosen.keep, chosen.results_folder = "disk", "/results"
    assert Settings.from_preferences().keep == "disk"
    assert Settings.from_preferences().results_folder == "/results"


def test_defaults_stand_in_without_the_registry(plugin_settings, npe2pm) -> None:
    assert Settings.from_preferences() == Settings()


def test_options_have_their_defaults_and_are_checked() -> None:
    settings = Settings(options={"contrast": 2}).with_options(ndim=3)
    assert settings.options == {"contrast": 2, "ndim": 3}
    assert settings.resolved["contrast"] == 2
    assert settings.resolved["statistics"] == "stack"
    with pytest.raises(ValueError, match="contrast must be"):
        _ = settings.with_options(contrast=0).resolved
    with pytest.raises(TypeError, match="denoise takes no argument 'contrast'"):
        _ = Settings(verb="denoise", options={"contrast": 2}).resolved


def test_auto_stands_for_a_model_of_either_verb() -> None:
    assert Settings().resolved_model == "structured"
    assert Settings(verb="denoise").resolved_model == "structured"
    assert Settings(model="noiser-es").resolved_model == "noiser-es"
