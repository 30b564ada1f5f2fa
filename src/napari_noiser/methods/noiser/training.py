"""Train a network on noise alone: self-regression, or denoising of what it exposes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser._validation import check_int, check_ndim, check_type
from napari_noiser.methods.base import Model
from napari_noiser.methods.device import best_device
from napari_noiser.methods.noiser.checkpoint import TrainingState
from napari_noiser.methods.noiser.cpu_training_step import ManualBackward
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.methods.noiser.recipe import Recipe, as_recipe
from napari_noiser.methods.noiser.unet import UNet, middle_plane
from napari_noiser.methods.weights import copy_weights

_RISE = 0.05  # of all steps, until the rate is highest
_FIRST = 25.0  # the highest rate over the first
_LAST = 1e4  # the first rate over the last
_EARLY = 9  # steps: a running mean forgets the first weights
_LARGEST_GRADIENT = 1.0
_WARM_UP = 3  # real steps before a CUDA graph is captured, as torch asks


@dataclass(frozen=True)
class TrainingStep:
    """One finished step of training, how many are done, and the loss on this step's signal.

    For N(0, 1), L1 plus weighted total variation, it settles at 0.72 to 0.77 after some 600 steps.
    `state` returns the `TrainingState` to save and resume from, if called before the next step;
    of a training that `train_steps` runs.
    """

    done: int
    total: int
    loss: float
    stage: str = "train"
    state: Callable[[], TrainingState] | None = field(default=None, repr=False, compare=False)


def train(
    recipe: str | Recipe = "noiser",
    *,
    samples: int = 1,
    ndim: int = 2,
    device: str = "auto",
    seed: int = 0,
    start: Model | None = None,
    resume: TrainingState | None = None,
    progress: Progress = False,
) -> NoiserModel:
    """Train a self-regression network on noise alone; no image is ever seen.

    Parameters
    ----------
    recipe : str or Recipe
        One of `RECIPES` by name, or a recipe of your own.
    samples : int
        Samples that the network sees together: 1 gray, 3 RGB. (Channels, an axis C, are enhanced
        one by one with a model of 1 sample.)
    ndim : int
        2 for a model of planes, 3 for a model of volumes.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Same seed, recipe, device and start: same model.
    start : Model, optional
        Its weights are the initial ones, instead of random ones: a model of the same shapes; or,
        for a denoiser of volumes, a denoiser of planes, which saves half of the steps.
    resume : TrainingState, optional
        Go on with a training that was stopped, from a step's `state` or `load_training_state`: it
        ends as one that was never stopped, bit by bit. Of a recipe with `warm_up`, `iterations`
        may change as long as the rate has not begun to fall.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``.

    Returns
    -------
    NoiserModel
        The weights (on the CPU) with the recipe and seed they came from.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; the message names it.

    Notes
    -----
    Zhang et al., "Noise Self-Regression", arXiv 2211.04700. 2000 steps take 2 to 3 s on two CPU
    cores for a 2-D model. The core leaves the number of threads alone.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from napari_noiser import RECIPES
    >>> model = train(replace(RECIPES["noiser"], iterations=5))
    >>> model.samples, model.ndim
    (1, 2)
    """
    form: dict[str, Any] = {"samples": samples, "ndim": ndim, "device": device}
    steps = train_steps(recipe, seed=seed, start=start, resume=resume, **form)
    return run_with_progress(steps, progress, "training")


def train_steps(
    recipe: str | Recipe = "noiser",
    *,
    samples: int = 1,
    ndim: int = 2,
    device: str = "auto",
    seed: int = 0,
    start: Model | None = None,
    resume: TrainingState | None = None,
) -> Generator[TrainingStep, None, NoiserModel]:
    """Train as `train` does, giving control back after every step.

    The arguments are checked at once. Closing the generator stops the training within one step.

    Parameters
    ----------
    recipe, samples, ndim, device, seed, start, resume : see `train`
        What to train, and where.

    Yields
    ------
    TrainingStep
        The number of the step and its loss.

    Returns
    -------
    NoiserModel
        The generator's return value.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; the message names it.
    """
    recipe = as_recipe(recipe)
    samples, ndim = check_int("samples", samples), check_ndim(ndim)
    seed = check_int("seed", seed, 0)
    recipe.check_samples(samples)
    draws = torch.Generator().manual_seed(seed)
    network = _network(recipe, samples, ndim, draws)
    if start is not None:
        copy_matching_weights(network, start)
    signal_seed = int(torch.randint(2**62, (), generator=draws))
    found = best_device(device)
    blank = NoiserModel(
        recipe,
        samples,
        ndim,
        seed,
        copy_weights(network),
        found.type,
        begun_from="" if start is None else start.fingerprint,
    )
    if resume is not None:
        check_type("resume", resume, TrainingState).check_same_training(blank)
    return _train(blank, network.to(found), signal_seed, resume)


def _train(
    blank: NoiserModel, network: nn.Module, signal_seed: int, resume: TrainingState | None
) -> Generator[TrainingStep, None, NoiserModel]:
    recipe = blank.recipe
    shape = recipe.training_shape(blank.samples, blank.ndim)
    state = resume
    for step in regress(network, recipe, shape, signal_seed, blank, resume):
        yield step
        if step.done == step.total and step.state is not None:
            state = step.state()
    assert state is not None  # a recipe has one step or more
    return replace(state.averaged, recipe=recipe)  # a state may be of another number of steps


def _network(recipe: Recipe, samples: int, ndim: int, draws: torch.Generator) -> nn.Module:
    if recipe.is_denoiser:
        return UNet(samples, recipe.widths, ndim, draws)
    return SRM(samples, recipe.width, ndim, draws, recipe.symmetric)


def copy_matching_weights(network: nn.Module, start: Model) -> None:
    """Copy the weights of a model into a network.

    Those of a model of planes serve one of volumes: its first convolution is padded by zeros for
    the neighboring planes.
    """
    if not isinstance(start, Model):
        raise InputTypeError("start", f"must be a model, got {type(start).__name__}")
    for name, parameter in network.named_parameters():
        weight = start.weights.get(name)
        of_planes = weight is not None and (parameter.ndim, weight.ndim) == (5, 4)
        if weight is not None and of_planes and start.traits.is_denoiser:
            weight = nn.functional.pad(weight[:, :, None], (0, 0, 0, 0, 1, 1))
        if weight is None or weight.shape != parameter.shape:
            raise InputError(
                "start",
                f"must be a model of the same shapes, or of planes for a denoiser of "
                f"volumes; its {name} is {None if weight is None else tuple(weight.shape)} "
                f"instead of {tuple(parameter.shape)}",
            )
        parameter.data.copy_(weight)


def regress(
    network: nn.Module,
    recipe: Recipe,
    shape: tuple[int, ...],
    seed: int,
    model: NoiserModel | None = None,
    resume: TrainingState | None = None,
) -> Generator[TrainingStep, None, None]:
    """Train any network in place, on its device, by a recipe.

    It maps signals of a shape (N, C, Y, X) or (N, C, Z, Y, X), drawn from `seed` on that device,
    to the same shape; a denoiser maps volumes to their `middle_plane`. With a model, which has but
    to say what is trained, steps have states to resume from.

    Notes
    -----
    An `SRM` on a CPU is not called for one image at a time, its step is written out
    (`napari_noiser.methods.noiser.cpu_training_step`): hooks on it do not run.
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    signal = torch.empty(shape, dtype=torch.float32, device=device)
    optimizer = _adam(network, recipe)
    averages = copy_weights(network, device) if recipe.averaging else {}
    losses: list[float] = []
    if resume is not None:
        resume.restore(network, optimizer)
        generator.set_state(resume.generator)
        averages = {name: each.to(device, copy=True) for name, each in resume.averages.items()}
        losses = resume.losses.tolist()
    make_steps = _denoising_steps if recipe.is_denoiser else _self_regression_steps
    steps = make_steps(network, optimizer, recipe, signal, generator)
    for done in range(len(losses) + 1, recipe.iterations + 1):
        recipe.source.fill(signal, generator)
        if recipe.is_denoiser:
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, done)
        losses.append(float(next(steps)))
        _average(averages, network, min(recipe.averaging, done / (done + _EARLY)))
        state = None
        if model is not None:
            state = partial(
                TrainingState.of, model, network, optimizer, averages, generator, losses, done
            )
        yield TrainingStep(done, recipe.iterations, losses[-1], state=state)


def _adam(network: nn.Module, recipe: Recipe) -> torch.optim.Adam:
    device = next(network.parameters()).device
    plain = not recipe.is_denoiser
    return torch.optim.Adam(
        network.parameters(),
        lr=recipe.learning_rate,
        betas=recipe.betas,
        capturable=plain and device.type == "cuda",
        fused=plain and device.type in ("cpu", "cuda"),
    )


@torch.no_grad()
def _average(averages: Mapping[str, Tensor], network: nn.Module, kept: float) -> None:
    """Move running means towards a network's weights."""
    for name, parameter in network.named_parameters():
        if name in averages:
            averages[name].lerp_(parameter, 1 - kept)


def learning_rate(recipe: Recipe, done: int) -> float:
    """Return the rate of a denoiser's step, counted from 1: up, constant, down, along cosines."""
    highest, total = recipe.learning_rate, recipe.iterations + 1
    least = max(_RISE * total, min(2.0, 0.75 * total))  # two steps at least
    top = recipe.warm_up or least - 1
    falls = max(top, (1 - recipe.decay) * recipe.iterations)
    step = done - 1
    if step <= top:
        return _along_cosine(highest / _FIRST, highest, step / top)
    if step <= falls:
        return highest
    return _along_cosine(highest, highest / _FIRST / _LAST, (step - falls) / (total - 1 - falls))


def _along_cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (cos(pi * part) + 1)


def _self_regression_steps(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    signal: Tensor,
    generator: torch.Generator,
) -> Generator[Tensor, None, None]:
    """Yield the loss of steps that regress the signal itself: L1 plus total variation."""
    differentiate = _loss_with_gradient(network, signal, recipe.tv_weight)

    def step() -> Tensor:
        loss = differentiate()
        optimizer.step()
        return loss

    device = signal.device
    return _replay_graph(step, device) if device.type == "cuda" else _repeat(step)


def _denoising_steps(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    signal: Tensor,
    generator: torch.Generator,
) -> Generator[Tensor, None, None]:
    """Yield the loss of steps that denoise an exposure of the signal."""
    device = signal.device
    use_bf16 = _supports_bf16(device)

    @torch.enable_grad()
    def step() -> Tensor:
        input, target = recipe.exposure.expose(signal, generator)
        network.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16):
            prediction = network(input)
        loss = residual_noise_rms(prediction.float(), middle_plane(target), middle_plane(input))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimizer.step()
        return loss.detach()

    return _repeat(step)


def _supports_bf16(device: torch.device) -> bool:
    """Return whether convolutions are faster in bfloat16; their sums stay in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def residual_noise_rms(prediction: Tensor, target: Tensor, input: Tensor) -> Tensor:
    """Return the RMS error relative to that of the input, 1 if no noise is removed; the mean.

    Squares, since they are least for the mean and not for the median: counts add up to the right
    light. Relative to the noise, not to the structure: weights by what is to be predicted are
    biased. Of tensors (N, C, ...) each of the N images counts alike.
    """
    inside = tuple(range(1, target.ndim))
    error = (prediction - target).square().mean(inside)
    noise = (input - target).square().mean(inside)
    return ((error / noise.clamp_min(1e-6)) + 1e-8).sqrt().mean()


def total_variation(image: Tensor) -> Tensor:
    """Return the squared differences of neighbors in (N, C, ...), their sum over all elements."""
    squares = [image.diff(dim=axis).square().sum() for axis in range(2, image.ndim)]
    return torch.stack(squares).sum() / image.numel()


def _loss_with_gradient(
    network: nn.Module, signal: Tensor, tv_weight: float
) -> Callable[[], Tensor]:
    """Return a function that computes the loss, and its gradient into the parameters."""
    # Not isinstance: a network derived from SRM may compute something else.
    if type(network) is SRM and signal.device.type == "cpu" and len(signal) == 1:
        return ManualBackward(network, signal, tv_weight)

    @torch.enable_grad()
    def differentiate() -> Tensor:
        network.zero_grad(set_to_none=True)
        output = network(signal)
        loss = torch.nn.functional.l1_loss(output, signal) + tv_weight * total_variation(output)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return differentiate


def _repeat(step: Callable[[], Tensor]) -> Generator[Tensor, None, None]:
    while True:
        yield step()


def _replay_graph(
    step: Callable[[], Tensor], device: torch.device
) -> Generator[Tensor, None, None]:
    """Run a few real steps on a side stream, capture the next as a CUDA graph, and replay it.

    A step of so small a network is nearly all launch overhead: the graph leaves one launch.
    """
    with torch.cuda.device(device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    for _ in range(_WARM_UP):
        with torch.cuda.device(device):
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                loss = step()
            torch.cuda.current_stream().wait_stream(side)
        yield loss
    graph = torch.cuda.CUDAGraph()
    # Only this thread: a viewer's preview may take memory of the device meanwhile.
    mode = "thread_local"
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode=mode):
        loss = step()
    while True:
        graph.replay()
        yield loss
