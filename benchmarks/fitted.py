"""Score models that are fitted to dark images alone (IRLE, reconstructed from public figures).

Run as ``python benchmarks/fitted.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
It takes a quarter of an hour or more. docs/science.md says what came of it.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter, process_time

import numpy as np
import torch
from data_sets import Array, arguments, data_parser
from quality import DataSet, Floats, data_sets
from tables import Table, machine

import napari_noiser as noiser
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.plan import make_plan
from napari_noiser.methods.irle.retinex.perceptual_losses import band_profile
from napari_noiser.methods.irle.two_stage.fold import FoldedTwoStageDenoiser
from napari_noiser.methods.irle.two_stage.illumination_gain import illumination_log_gain
from napari_noiser.recipes import BlindSpotRecipe, IRLEModel, IRLERecipe

CPU = torch.device("cpu")
_STEP = 5.0  # gray levels that a pixel becomes brighter by

PUBLISHED = {  # of normal and of low light, read from a figure of arXiv 2605.28605
    "well lit": (2.09, 0.93, 0.26, -0.18, -0.48, -0.70, -0.88, -1.07),
    "dark": (2.12, 0.88, 0.29, -0.19, -0.49, -0.69, -0.91, -1.05),
}


def score(data: DataSet, results: list[Floats]) -> str:
    """Return the mean PSNR and SSIM of some results."""
    both = zip(results, data.pairs, strict=True)
    psnr, ssim = np.mean([data.score(each, pair.truth) for each, pair in both], axis=0)
    return f"{psnr:.2f} / {ssim:.3f}"


def denoising(data: DataSet, steps: int | None, seeds: int) -> None:
    """Fit stage 2 to all noisy frames together, with gain modulation and without."""
    table = Table([12, 6, 14, 10, 10])
    table.head([f"{data.name}, stage 2", "seed", "PSNR / SSIM", "fit, s", "CPU s"])
    frames = [pair.dim for pair in data.pairs]
    for seed in range(seeds):
        for gain in ("light", "none"):
            recipe = BlindSpotRecipe(gain=gain)
            recipe = recipe if steps is None else replace(recipe, iterations=steps)
            start, busy = perf_counter(), process_time()
            model = noiser.fit(frames, recipe, seed=seed)
            taken = (f"{perf_counter() - start:.0f}", f"{process_time() - busy:.0f}")
            found = [noiser.denoise(frame, model) for frame in frames]
            table.row([f"gain {gain}", str(seed), score(data, found), *taken])


def both_stages(data: DataSet, steps: int | None) -> IRLEModel:
    """Fit both stages to all dark photographs together."""
    table = Table([30, 14, 10])
    table.head([f"{data.name}, {len(data.pairs)} pairs", "PSNR / SSIM", "s"])
    recipe = IRLERecipe()
    if steps is not None:
        recipe = replace(recipe, denoiser=replace(recipe.denoiser, iterations=steps))
    start = perf_counter()
    model = noiser.fit([pair.dim for pair in data.pairs], recipe, axes="YXS")
    taken = perf_counter() - start
    shown = [noiser.enhance(pair.dim, model, axes="YXS") for pair in data.pairs]
    table.row(["both stages", score(data, shown), f"{taken:.0f}"])
    as_bright = [
        each * (pair.truth.mean() / 255 / each.mean())
        for each, pair in zip(shown, data.pairs, strict=True)
    ]
    table.row(["both, as bright as the truth", score(data, as_bright), ""])
    first = [noiser.enhance(pair.dim, model.retinex, axes="YXS") for pair in data.pairs]
    table.row(["stage 1 alone", score(data, first), ""])
    return model


def spectra(data: DataSet) -> None:
    """Compare the spectral statistic with what was published."""
    table = Table([10, 60, 6])
    table.head(["z", "8 bands", "rms"])
    for name, published in PUBLISHED.items():
        images = [pair.truth if name == "well lit" else pair.dim for pair in data.pairs]
        z = np.mean([profile(image) for image in images], axis=0)
        distance = float(np.sqrt(np.mean((z - published) ** 2)))
        table.row([name, " ".join(f"{each:.2f}" for each in z), f"{distance:.3f}"])


def profile(photograph: Array) -> Floats:
    """Return the spectral statistic of a photograph."""
    image = torch.from_numpy(photograph).permute(2, 0, 1)[None] / 255
    return band_profile(image).numpy().mean(axis=0)


def leak(model: IRLEModel, data: DataSet) -> None:
    """Tell how much of a pixel comes back to its own estimate through stage 1's gain map."""
    dark = data.pairs[0].dim[:384, :384].astype(float)
    plan = calibrate(make_plan(data.pairs[0].dim, model, axes="YXS"))
    folded = model.as_denoiser().fold(np.zeros(27), np.eye(27), CPU, *plan.cameras[:1])
    before, shares, moved = guided_estimate(folded, dark), [], []
    for at in np.random.default_rng(0).integers(100, 280, (6, 2)):
        changed = dark.copy()
        changed[*at] += _STEP
        after = guided_estimate(folded, changed)
        pairs = zip(before, after, strict=True)
        gain, light, own = (float((b - a)[..., *at].abs().max()) for a, b in pairs)
        moved.append(gain)
        shares.append(light / own)
    print(
        f"\nA pixel {_STEP:g} of 255 brighter moves the logarithm of its own gain by "
        f"{max(moved):.1e} at most, and its own blind estimate by {100 * min(shares):.2f} to "
        f"{100 * max(shares):.2f} % of what it moved itself (six pixels)."
    )


@torch.no_grad()
def guided_estimate(
    folded: FoldedTwoStageDenoiser, image: Floats
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gain's logarithm, the blind spot's estimate with it, and its input."""
    seen = torch.from_numpy(folded.counts.stabilize(np.moveaxis(image, -1, 0))).float()[None]
    counts = folded.levels.normalize(folded.counts.invert(seen))
    light = folded.retinex.illumination(counts)
    centered = seen - folded.blind.scaling.center
    guided = torch.cat([centered, log_gain := illumination_log_gain(light)], dim=1)
    ((estimate, _),) = folded.blind.estimates(guided, ((0, 0), (0, 0)), (0, 0))
    return log_gain, estimate.light, seen


def main() -> None:
    """Print the machine and the tables."""
    parser = data_parser(__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, help="of each fit of stage 2")
    parser.add_argument("--seeds", type=int, default=1, help="of the fits of fluorescence")
    given = arguments(parser)
    sets = {data.name: data for data in data_sets(given.folder)}
    print(f"{machine('scikit-image')}\n")
    spectra(sets["LOL"])
    print()
    leak(both_stages(sets["LOL"], given.steps), sets["LOL"])
    print()
    denoising(sets["W2S"], given.steps, given.seeds)


if __name__ == "__main__":
    main()
