"""A device is tried before it is promised; "auto" falls back and says so."""

from types import SimpleNamespace

import pytest
import torch

from napari_noiser.methods import device as device_module
from napari_noiser.methods.device import best_device
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.training import train

PRESENT = SimpleNamespace(is_available=lambda: True)
ABSENT = SimpleNamespace(is_available=lambda: False)


@pytest.fixture
def broken(monkeypatch):
    """Make "cuda" seen but unable to compute, and the other accelerators absent."""
    accelerators = {"cuda": PRESENT, "xpu": ABSENT, "mps": ABSENT}
    monkeypatch.setattr(device_module, "_ACCELERATORS", accelerators)
    compute = device_module._check_device

    def fail(device):
        if device.type == "cuda":
            raise RuntimeError("no kernel image is available\nand more lines")
        compute(device)

    monkeypatch.setattr(device_module, "_check_device", fail)


def test_auto_gives_a_device_that_computes():
    device = best_device("auto")
    assert isinstance(device, torch.device)
    assert float(torch.ones(3, device=device).sum()) == 3


def test_auto_without_accelerators_is_the_cpu(monkeypatch):
    absent = dict.fromkeys(("cuda", "xpu", "mps"), ABSENT)
    monkeypatch.setattr(device_module, "_ACCELERATORS", absent)
    assert best_device() == torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_cpu_by_name(device):
    assert best_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "meta", None, 3.5])
def test_unknown_device_is_refused(device):
    with pytest.raises(ValueError, match=r"device .* does not work here .*use 'auto' or 'cpu'"):
        best_device(device)


def test_what_torch_says_is_cut_short_and_the_device_not_recommended(monkeypatch):
    def fail(device):
        raise NotImplementedError("aten::empty does not run on 'MPS'. " + "CPU: registered " * 90)

    monkeypatch.setattr(device_module, "_check_device", fail)
    there = {"cuda": PRESENT, "xpu": ABSENT, "mps": PRESENT}
    monkeypatch.setattr(device_module, "_ACCELERATORS", there)
    with pytest.raises(ValueError, match="does not work here") as error:
        best_device("mps")
    assert str(error.value) == (
        "device 'mps' does not work here (aten::empty does not run on 'MPS'); "
        "use 'auto' or 'cpu' or 'cuda'"
    )

    def wordy(device):
        raise RuntimeError("much " * 90)

    monkeypatch.setattr(device_module, "_check_device", wordy)
    with pytest.raises(ValueError, match=r"much…\); use 'auto' or 'cpu' or 'mps'") as error:
        best_device("cuda")
    assert len(str(error.value)) < 250


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none_is_refused(device):
    with pytest.raises(ValueError, match=f"device '{device}' does not work here"):
        best_device(device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_takes_cuda_where_it_computes():
    assert best_device("auto").type == "cuda"
    with pytest.raises(ValueError, match="device 'cuda:99' does not work here"):
        best_device("cuda:99")


@pytest.mark.usefixtures("broken")
def test_auto_warns_of_a_broken_accelerator_and_takes_the_cpu():
    with pytest.warns(UserWarning, match="cuda is there but does not compute") as caught:
        assert best_device("auto") == torch.device("cpu")
    assert "no kernel image is available" in str(caught[0].message)
    assert "more lines" not in str(caught[0].message)


@pytest.mark.usefixtures("broken")
def test_broken_accelerator_by_name_is_refused():
    with pytest.raises(ValueError, match=r"device 'cuda' .*no kernel image"):
        best_device("cuda")


@pytest.mark.usefixtures("broken")
@pytest.mark.filterwarnings("default:cuda is there")
def test_training_goes_on_beside_a_broken_accelerator():
    recipe = Recipe(name="short", iterations=2, size=8, width=2)
    with pytest.warns(UserWarning, match="cuda is there but does not compute"):
        model = train(recipe, device="auto")
    assert model.fingerprint == train(recipe, device="cpu").fingerprint
