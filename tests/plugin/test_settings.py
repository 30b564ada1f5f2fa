"""Preferences from napari's own dialog, and defaults without it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

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
        model="noiser-es", statistics="plane", dtype="uint16"
    )
    chosen.keep, chosen.results_folder = "disk", "/results"
    assert Settings.from_preferences().keep == "disk"
    assert Settings.from_preferences().results_folder == "/results"


def test_defaults_stand_in_without_the_registry(plugin_settings, npe2pm) -> None:
    assert Settings.from_preferences() == Settings()
