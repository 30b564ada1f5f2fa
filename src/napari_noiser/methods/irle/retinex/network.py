"""Two small networks that decompose an image into illumination and reflectance, locally."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Generator, Tensor, nn

from napari_noiser.methods.irle.retinex.pseudo_target import gaussian_blur, local_maximum
from napari_noiser.methods.noiser.network import uniform_parameter
from napari_noiser.methods.noiser.unet import respond, unet_radius, unet_shapes

_SIGMA = 4.0  # pixels: how smooth illumination is
_WINDOW_REACH = 4  # of the local maximum
_DARKEST = 0.005  # of the illumination
_DIM = 0.02  # light that the networks tell from none
_START = 0.1  # the last layers are drawn so much smaller than torch would


class Retinex(nn.Module):
    """Illumination and reflectance of images: I = L R, but for noise and for what is repaired.

    Either network has hidden channels of `widths` at full size, a half of it, a quarter, ... The
    illumination has one channel. `smoothing` is the sigma in pixels of the Gaussian that smooths
    an image before its illumination is estimated, 0 for none: the brightest of 9 x 9 noisy pixels
    depends on their noise.

    Notes
    -----
    Two encoder-decoders, as IRLE (arXiv 2605.28605) draws them. No layer normalizes by what it
    sees: all is local, within `retinex_radius` pixels.

    L = clip(blur(T0) exp(blur(2 sigmoid(f) - 1)), 0.005, 1), with T0 the local maximum: within a
    factor of e of what the image itself says, so it cannot vanish, and as smooth as a gain map
    must be that leads a blind spot. R = I / L + r. That is what the losses see; what is shown is
    clipped to [0, 1].
    """

    def __init__(
        self,
        samples: int,
        widths: Sequence[int],
        generator: Generator,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.samples, self.scales, self.smoothing = samples, len(widths), smoothing
        # Named so in model files, whose fingerprints count the names.
        of_light, of_reflectance = _shapes(samples, widths)
        self.of_light = _parameters(of_light, generator)
        self.of_reflectance = _parameters(of_reflectance, generator)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return illumination, (N, 1, Y, X) in [0.005, 1], and reflectance, not clipped.

        Of images (N, C, Y, X), of about [0, 1], whose lengths 2 ** (scales - 1) divides.
        """
        illumination = self.illumination(image)
        return illumination, self.reflectance(image, illumination)

    def illumination(self, image: Tensor) -> Tensor:
        """Return the illumination of an image."""
        image = self.smoothed(image)
        brightest = local_maximum(image)
        response = self._respond(self.of_light, _log(torch.cat([image, brightest], dim=1)))
        within = gaussian_blur(2 * response.sigmoid() - 1, _SIGMA)
        return (gaussian_blur(brightest, _SIGMA) * within.exp()).clamp(_DARKEST, 1)

    def smoothed(self, image: Tensor) -> Tensor:
        """Return an image smoothed for the estimate of its illumination."""
        return gaussian_blur(image, self.smoothing) if self.smoothing else image

    def reflectance(self, image: Tensor, illumination: Tensor) -> Tensor:
        """Return the reflectance of an image, noisy or denoised, in an illumination."""
        plain = image / illumination
        seen = torch.cat([plain, _log(illumination)], dim=1)
        return plain + self._respond(self.of_reflectance, seen)

    def _respond(self, weights: nn.ParameterDict, seen: Tensor) -> Tensor:
        return respond(dict(weights.items()), seen, self.scales)


def retinex_radius(scales: int, smoothing: float) -> int:
    """Return how far away a pixel can change illumination or reflectance, in pixels."""
    calming, smoothed = round(3 * smoothing), round(3 * _SIGMA)
    return calming + _WINDOW_REACH + unet_radius(scales) + smoothed + unet_radius(scales)


def _log(values: Tensor) -> Tensor:
    return (values.clamp_min(0) + _DIM).log()


def retinex_shapes(samples: int, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of both networks."""
    networks = zip(("of_light", "of_reflectance"), _shapes(samples, widths), strict=True)
    return {f"{network}.{name}": each for network, of in networks for name, each in of.items()}


def _shapes(samples: int, widths: Sequence[int]) -> list[dict[str, tuple[int, ...]]]:
    common = unet_shapes(samples + 1, widths, ndim=2)
    inward = common["last_weight"][1:]
    return [
        {**common, "last_weight": (outputs, *inward), "last_bias": (outputs,)}
        for outputs in (1, samples)
    ]


def _parameters(shapes: dict[str, tuple[int, ...]], generator: Generator) -> nn.ParameterDict:
    drawn = {}
    for name, shape in shapes.items():
        parameter = uniform_parameter(
            shape, prod(shapes[name.replace("bias", "weight")][1:]), generator
        )
        if name.startswith("last"):
            parameter.data.mul_(_START)
        drawn[name] = parameter
    return nn.ParameterDict(drawn)
