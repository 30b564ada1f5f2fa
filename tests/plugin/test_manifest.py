"""What napari reads: the manifest is valid, and says what napari would silently drop."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml
from napari._app_model.constants._menus import is_menu_contributable
from npe2 import PluginManifest

from napari_noiser.engine.options import verb_options
from napari_noiser.methods.noiser.recipe import BUNDLED
from napari_noiser.plugin.settings import KEEPS, Settings, preferences_schema


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(Path(str(resources.files("napari_noiser") / "napari.yaml")))


def test_everything_it_names_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()


def test_it_is_found_through_the_entry_point() -> None:
    assert PluginManifest.from_distribution("napari-noiser").name == "napari-noiser"


def test_menus_are_ones_that_napari_takes(manifest: PluginManifest) -> None:
    commands = {command.id: command for command in manifest.contributions.commands}
    for menu, items in manifest.contributions.menus.items():
        assert is_menu_contributable(menu)
        for item in items:
            one = item.command == "napari-noiser.copy"
            enabled = "active_layer_type == 'image'" if one else "num_selected_image_layers >= 1"
            assert str(commands[item.command].enablement) == enabled


def test_both_commands_stand_under_layers_filter(manifest: PluginManifest) -> None:
    items = manifest.contributions.menus["napari/layers/filter"]
    assert [item.command for item in items] == ["napari-noiser.enhance", "napari-noiser.open"]


def test_copying_stands_under_layers_data(manifest: PluginManifest) -> None:
    (item,) = manifest.contributions.menus["napari/layers/data"]
    assert item.command == "napari-noiser.copy"


def test_preferences_are_those_of_the_options() -> None:
    text = (resources.files("napari_noiser") / "napari.yaml").read_text()
    defaults = yaml.safe_load(text)["contributions"]["configurations"]["defaults"]
    assert defaults["properties"] == preferences_schema()


def test_preferences_offer_what_the_code_takes(manifest: PluginManifest) -> None:
    offered = manifest.contributions.configurations["defaults"].properties
    assert tuple(offered["keep"].enum) == KEEPS
    assert set(offered["model"].enum) == {"auto"} | {name for name, _, _ in BUNDLED}
    settings = Settings()
    for name, preference in offered.items():
        assert preference.description
        if name in verb_options("enhance"):
            assert name in verb_options("denoise")
            for value in preference.enum:
                assert settings.with_options(**{name: value}).resolved[name] == value
        else:
            assert (preference.default or None) == getattr(settings, name)
