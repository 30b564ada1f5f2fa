"""ZS-N2N: a small network fitted to the noise of one image, by that image alone.

Mansour, Heckel, "Zero-Shot Noise2Noise: Efficient Image Denoising without any Data", CVPR 2023.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d, mse_loss

STEPS = 2000
WINDOW = 64
"""Pixels a side of what a step sees, another place each time.

The paper's steps see the whole image: on a CPU half an hour and more for one of 512x512. Edges
are reflected, not set to 0 as in the paper's code, since windows have more of them.
"""


def zero_shot(values: NDArray[np.floating], channel_axis: int | None) -> NDArray[np.floating]:
    """Fit to an image of about [0, 1] and denoise it; channels last, if it has any."""
    image = torch.as_tensor(values, dtype=torch.float32)
    image = image[None, None] if channel_axis is None else image.movedim(-1, 0)[None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise = fitted(image)
    with torch.no_grad():
        denoised = (image - noise(image))[0]
    return (denoised[0] if channel_axis is None else denoised.movedim(0, -1)).numpy()


def fitted(image: Tensor) -> nn.Module:
    """Return the network that sees the noise of an image (1, C, Y, X)."""
    samples = image.shape[1]
    noise = nn.Sequential(
        nn.Conv2d(samples, 48, 3, padding=1, padding_mode="reflect"),
        nn.LeakyReLU(0.2),
        nn.Conv2d(48, 48, 3, padding=1, padding_mode="reflect"),
        nn.LeakyReLU(0.2),
        nn.Conv2d(48, samples, 1),
    )
    optimizer = torch.optim.Adam(noise.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1000, gamma=0.5)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(noise, window(image)).backward()
        optimizer.step()
        schedule.step()
    return noise


def loss(noise: nn.Module, image: Tensor) -> Tensor:
    """Return the residual loss and that of consistency, each in both directions."""
    first, second = halves(image)
    seen_first, seen_second = first - noise(first), second - noise(second)
    residual = mse_loss(seen_first, second) + mse_loss(seen_second, first)
    then_first, then_second = halves(image - noise(image))
    consistency = mse_loss(seen_first, then_first) + mse_loss(seen_second, then_second)
    return (residual + consistency) / 2


def halves(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return two images of half the size: the means of both diagonals of 2x2 blocks."""
    samples = image.shape[1]
    diagonal = torch.eye(2).expand(samples, 1, 2, 2) / 2
    return (
        conv2d(image, diagonal.flip(-1), stride=2, groups=samples),
        conv2d(image, diagonal, stride=2, groups=samples),
    )


def window(image: Tensor) -> Tensor:
    """Return a place of an image, at random."""
    for axis in (2, 3):
        length = min(WINDOW, image.shape[axis])
        start = int(torch.randint(image.shape[axis] - length + 1, ()))
        image = image.narrow(axis, start, length)
    return image
