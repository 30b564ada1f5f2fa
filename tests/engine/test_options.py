"""Options stand once: signatures, documentation and checks follow from their definition."""

from __future__ import annotations

import inspect
import json
from functools import partial
from typing import Annotated, Any

import numpy as np
import pytest
from helpers.errors import refused

from napari_noiser import denoise, enhance
from napari_noiser._validation import check_int
from napari_noiser.camera import CameraNoise
from napari_noiser.engine import options as module
from napari_noiser.engine.options import (
    EnhanceOptions,
    Option,
    ResolvedOptions,
    Verb,
    bytes_from_text,
    camera_from_text,
    check_options,
    documented,
    options_of,
    verb_options,
)
from napari_noiser.engine.plan import make_plan

VERBS: dict[Verb, Any] = {"enhance": enhance, "denoise": denoise}
IMAGE = np.random.default_rng(0).poisson(9, (30, 31))


class WiderOptions(EnhanceOptions, total=False):
    """A copy of the definition, with an option more."""

    frames: Annotated[
        int,
        Option(
            3,
            "int",
            "How many frames are averaged.",
            help="frames to average",
            check=partial(check_int, least=1),
            parse=int,
        ),
    ]


def test_an_option_that_is_defined_is_there_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._CLASSES, "enhance", WiderOptions)

    @documented("enhance", "progress")
    def function(image: Any, model: str = "auto", **options: Any) -> dict[str, Any]:
        """Do something.

        Parameters
        ----------
        {options}
        """
        return dict(check_options("enhance", options))

    parameters = inspect.signature(function).parameters
    others = [name for name in verb_options("enhance") if name != "progress"]
    assert [*parameters] == ["image", "model", *others]
    assert parameters["frames"].default == 3
    assert parameters["frames"].kind is inspect.Parameter.KEYWORD_ONLY
    text = inspect.getdoc(function)
    assert text is not None
    assert "frames : int\n    How many frames are averaged." in text
    assert "progress : " not in text
    assert function(IMAGE, frames=np.int64(5))["frames"] == 5
    with refused("frames", "got 0"):
        function(IMAGE, frames=0)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_documents_and_shows_all_its_options(verb: Verb) -> None:
    parameters = inspect.signature(VERBS[verb]).parameters
    assert [*parameters] == ["image", "model", *verb_options(verb)]
    text = inspect.getdoc(VERBS[verb])
    assert text is not None
    for name, option in verb_options(verb).items():
        assert parameters[name].default is option.default
        assert f"\n{name} : {option.kind}\n    " in text, name
    assert "{options}" not in text
    assert max(map(len, text.splitlines())) < 99


@pytest.mark.parametrize("verb", VERBS)
def test_the_documentation_is_numpydocs(verb: Verb) -> None:
    validate = pytest.importorskip("numpydoc.validate").validate
    said = validate(f"napari_noiser.{verb}")["errors"]
    wanted = {"GL08", "SS01", "SS03", "SS05", "PR01", "PR02", "PR03", "PR04", "RT01"}
    assert [error for error in said if error[0] in wanted] == []


@pytest.mark.parametrize("verb", VERBS)
def test_left_out_options_have_their_defaults(verb: Verb) -> None:
    resolved = check_options(verb, {})
    everything = options_of(ResolvedOptions)
    assert resolved == {name: option.default for name, option in everything.items()}
    for name, option in verb_options(verb).items():
        assert option.check(name, option.default) == option.default


@pytest.mark.parametrize(("verb", "other"), [("enhance", "denoise"), ("denoise", "enhance")])
def test_verbs_refuse_each_others_options(verb: Verb, other: Verb) -> None:
    foreign = set(verb_options(other)) - set(verb_options(verb))
    assert foreign
    for name in foreign:
        with refused("", name, other, error=TypeError):
            check_options(verb, {name: verb_options(other)[name].default})
        with refused("", name, other, error=TypeError):
            VERBS[verb](IMAGE, **{name: verb_options(other)[name].default})


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_is_refused_by_name(verb: Verb) -> None:
    with refused("", verb, "brightnes", error=TypeError):
        VERBS[verb](IMAGE, brightnes=1)


@pytest.mark.parametrize("verb", VERBS)
def test_choices_are_accepted_and_have_words(verb: Verb) -> None:
    for name, option in verb_options(verb).items():
        for choice in option.choices:
            assert option.check(name, choice) == choice
            if choice is not None:
                assert option.check(name, option.parse(str(choice))) == choice
        assert len(option.words) in (0, len(option.choices)), name
        if option.choices and not option.open:
            with refused(name, "nonsense"):
                option.check(name, "nonsense")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tile", "64", 64),
        ("memory_limit", "1.5 GB", 1_500_000_000),
        ("max_change", "2.5", 2.5),
        ("camera", "2.2,100,1.6", CameraNoise(2.2, 100, 1.6)),
        ("camera", "none", None),
        ("camera", "auto", "auto"),
    ],
)
def test_the_command_lines_words_are_read(name: str, text: str, value: Any) -> None:
    assert verb_options("enhance")[name].parse(text) == value


def test_words_that_cannot_be_read() -> None:
    with refused("camera", "2,3"):
        camera_from_text("2,3")
    with pytest.raises(ValueError, match="lots"):
        bytes_from_text("lots")


@pytest.mark.parametrize("camera", [CameraNoise(2.2, 100, 1.6), None, "auto"])
def test_what_is_recorded_is_read_again(camera: Any) -> None:
    plan = make_plan(IMAGE, "structured", "denoise", camera=camera)
    said = json.loads(json.dumps(plan.describe()))
    recorded = {name: each for name, each in verb_options("denoise").items() if each.recorded}
    assert set(recorded) <= set(said)
    again = {name: each.from_json(said[name]) for name, each in recorded.items()}
    plan = make_plan(IMAGE, "structured", "denoise", **again)
    assert plan.describe()["camera"] == said["camera"]
    assert {"tile", "memory_limit", "out", "progress"} & set(recorded) == set()
