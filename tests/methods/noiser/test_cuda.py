"""On CUDA the captured graph trains as a plain loop does, and gives its memory back."""

import gc
import threading

import pytest
import torch
from torch.nn import functional

from napari_noiser.methods.device import release_memory
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.training import regress, total_variation, train, train_steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

RECIPE = Recipe(name="short", iterations=60, size=32, size_3d=12)


def plain_loop(network, recipe, shape, seed):
    """Train eagerly, step by step, with nothing captured."""
    generator = torch.Generator("cuda").manual_seed(seed)
    rate, betas = recipe.learning_rate, recipe.betas
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, betas=betas)
    signal, losses = torch.empty(shape, device="cuda"), []
    for _ in range(recipe.iterations):
        recipe.source.fill(signal, generator)
        output = network(signal)
        loss = functional.l1_loss(output, signal) + recipe.tv_weight * total_variation(output)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def network(samples, ndim):
    return SRM(samples, RECIPE.width, ndim, torch.Generator().manual_seed(0)).to("cuda")


@pytest.mark.parametrize(("samples", "ndim"), [(1, 2), (3, 2), (1, 3)])
def test_captured_graph_equals_a_plain_loop(samples, ndim):
    shape = RECIPE.training_shape(samples, ndim)
    captured, plain = network(samples, ndim), network(samples, ndim)
    losses = [step.loss for step in regress(captured, RECIPE, shape, 4)]
    assert losses == pytest.approx(plain_loop(plain, RECIPE, shape, 4), abs=2e-3)
    start = network(samples, ndim)
    for name in ("first_weight", "second_weight", "second_bias"):  # first_bias cancels: it drifts
        found, wanted, first = (net.state_dict()[name] for net in (captured, plain, start))
        assert float((found - wanted).norm()) < 0.05 * float((wanted - first).norm())


def test_cuda_trains_to_the_same_loss_as_the_cpu():
    recipe = Recipe(name="longer", iterations=300, size=48)
    losses = {}
    for device in ("cpu", "cuda"):
        events = list(train_steps(recipe, samples=3, device=device))
        losses[device] = sum(event.loss for event in events[-50:]) / 50
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=0.03)


def test_weights_come_back_to_the_cpu():
    model = train(RECIPE, device="cuda")
    assert all(value.device.type == "cpu" for value in model.weights.values())


@pytest.mark.parametrize("stop_after", [2, 10, None])
def test_memory_is_released_after_training(stop_after):
    train(RECIPE, device="cuda")  # what the libraries keep for good is taken by now
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    steps = train_steps(RECIPE, device="cuda")
    for event in steps:
        if event.done == stop_after:
            break
    steps.close()
    del steps
    gc.collect()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before


def test_training_runs_beside_other_work_on_the_device():
    steps = train_steps(RECIPE, device="cuda")
    noise = torch.randn(64, 64, device="cuda")
    for event in steps:
        noise = torch.tanh(noise @ noise.T)
        assert event.loss == event.loss
    assert bool(noise.isfinite().all())


def test_training_runs_beside_another_thread_that_takes_memory_of_the_device():
    stop, failed = threading.Event(), []

    def preview():
        size = 64
        while not stop.is_set():
            try:
                size = size % 4096 + 64
                torch.randn(size, size, device="cuda").square().sum().item()
            except RuntimeError as error:
                failed.append(error)
                return

    thread = threading.Thread(target=preview)
    thread.start()
    try:
        losses = [event.loss for _ in range(5) for event in train_steps(RECIPE, device="cuda")]
    finally:
        stop.set()
        thread.join()
    assert not failed
    assert all(loss == loss for loss in losses)


def test_what_torch_keeps_for_later_can_be_given_back():
    train(RECIPE, device="cuda")
    gc.collect()
    release_memory()
    assert torch.cuda.memory_reserved() <= torch.cuda.memory_allocated() + 2**21
