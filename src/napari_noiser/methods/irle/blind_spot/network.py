"""The blind-spot network: a pixel's light from all around it but itself, guided by a gain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

_ADAPTER = 8  # hidden channels of a gain's adapter
_SLOPE = 0.1
_START = {"heads": 0.0, "back": 0.3, "last": 0.3}  # of torch's default


class BlindSpot(nn.Module):
    """Estimates of each pixel's light and of their own variance; no estimate sees its pixel.

    A center-masked convolution; pixel-unshuffle, each phase an image of its own; gain-aware blocks
    over several scales (hidden channels of `widths` at full size, a half, a quarter, ...) and
    back; a head of 1x1 convolutions; pixel-shuffle. Of an odd number of frames the middle one is
    estimated; its neighbors' pixels at the same place are seen. All samples are blind at the same
    place. Without a generator there are shapes, but no memory is taken and nothing is drawn.

    Notes
    -----
    Why nothing leaks. The masked convolution reaches `spacing` - 1 pixels: what it returns has
    seen no pixel of its own phase, the pixels at whole multiples of `spacing`, its own among
    them. From there on phases never meet, they are separate images of a batch. So whatever is
    done within a phase (wide convolutions, strides, scales), an estimate depends on the pixels
    of the other phases only. A convolution within a phase is one of dilation `spacing`.

    The layers follow the public figure of arXiv 2605.28605, but for three. Pixels are masked
    before they are unshuffled and phases are images of a batch, not channels: mixed as channels,
    a cell's pixels must all be masked together, the nearest neighbors among them. The way down
    is a strided convolution, which here leaks nothing. Blocks have no normalization and no
    second, gain-free half: they cost a third more time and gained nothing on what was measured.
    """

    def __init__(
        self,
        samples: int,
        frames: int,
        widths: Sequence[int],
        blocks: int,
        spacing: int,
        generator: Generator | None,
    ) -> None:
        super().__init__()
        self.spacing = spacing
        side, finest = 2 * spacing - 1, widths[0]
        self.first = _convolution(samples * frames, finest, side)
        where = "meta" if generator is None else "cpu"
        mask = torch.ones(1, samples * frames, side, side, device=where)
        mask[:, frames // 2 :: frames, spacing - 1, spacing - 1] = 0
        self.register_buffer("mask", mask, persistent=False)
        self.mix = _convolution(finest, finest)
        self.inward = nn.ModuleList(_Blocks(width, blocks) for width in widths)
        self.outward = nn.ModuleList(_Blocks(width, blocks) for width in widths[:-1])
        self.down = nn.ModuleList(_convolution(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_convolution(b, 4 * a) for a, b in pairwise(widths))
        self.join = _convolution(2 * finest, finest)
        self.last = _convolution(finest, 2 * samples)
        if generator is not None:
            _draw(self, generator)

    def forward(self, seen: Tensor, log_gain: Tensor) -> Tensor:
        """Return an estimate of each pixel's light, and the logarithm of its variance.

        `seen` is (N, samples * frames, Y, X), all frames of a sample together, of about mean 0 and
        variance 1, Y and X multiples of spacing * 2 ** (scales - 1); `log_gain` (N, 1, Y, X), of
        about mean 0.
        """
        weight = self.first.weight * cast(Tensor, self.mask)
        near = functional.conv2d(seen, weight, self.first.bias, padding=self.spacing - 1)
        near = _split_phases(functional.gelu(near), self.spacing)
        hidden = self.mix(near)
        gains, finer = [_split_phases(log_gain, self.spacing)], []
        for scale, blocks in enumerate(self.inward):
            if scale:
                finer.append(hidden)
                hidden = self.down[scale - 1](hidden)
                gains.append(functional.avg_pool2d(gains[-1], 2))
            hidden = blocks(hidden, gains[scale])
        for scale in reversed(range(len(self.outward))):
            hidden = finer.pop() + functional.pixel_shuffle(self.up[scale](hidden), 2)
            hidden = self.outward[scale](hidden, gains[scale])
        hidden = functional.gelu(self.join(torch.cat([near, hidden], dim=1)))
        return _merge_phases(self.last(hidden).float(), self.spacing)


class _GainModulation(nn.Module):
    """Gain-adaptive feature modulation (GAFM): x (1 + scale(log gain)) + shift(log gain)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.adapter = _convolution(1, _ADAPTER, 3)
        self.heads = _convolution(_ADAPTER, 2 * width)

    def forward(self, hidden: Tensor, log_gain: Tensor) -> Tensor:
        adapted = functional.leaky_relu(self.adapter(log_gain), _SLOPE)
        scale, shift = self.heads(adapted).chunk(2, dim=1)
        return cast(Tensor, hidden * (1 + scale) + shift)


class _GainAwareBlock(nn.Module):
    """Modulate by the gain, convolve, and add to what was modulated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = _GainModulation(width)
        self.around, self.back = _convolution(width, width, 3), _convolution(width, width)

    def forward(self, hidden: Tensor, log_gain: Tensor) -> Tensor:
        hidden = self.modulation(hidden, log_gain)
        return cast(Tensor, hidden + self.back(functional.gelu(self.around(hidden))))


class _Blocks(nn.ModuleList):
    """Gain-aware blocks, one after the other."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__(_GainAwareBlock(width) for _ in range(count))

    def forward(self, hidden: Tensor, log_gain: Tensor) -> Tensor:
        for block in self:
            hidden = block(hidden, log_gain)
        return hidden


def _convolution(inputs: int, outputs: int, side: int = 1, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size, or divides it; its weights are yet to be drawn."""
    padding = side // 2 if stride == 1 else 0
    bare = torch.device("meta")  # nothing is drawn there
    return nn.Conv2d(inputs, outputs, side, stride=stride, padding=padding, device=bare)


def _draw(network: nn.Module, generator: Generator) -> None:
    """Draw all convolutions as torch does by default, without touching the global generator.

    What is added to something starts small, a modulation as the identity.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        layer.to_empty(device="cpu")
        bound = (layer.weight[0].numel()) ** -0.5
        bound *= _START.get(name.rpartition(".")[2], 1.0)
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            cast(Tensor, layer.bias).uniform_(-bound, bound, generator=generator)


def _split_phases(image: Tensor, spacing: int) -> Tensor:
    """Pixel-unshuffle with the phases as images of the batch: (N k k, C, Y / k, X / k)."""
    count, samples, height, width = image.shape
    cells = image.view(count, samples, height // spacing, spacing, width // spacing, spacing)
    last = cells.permute(0, 3, 5, 2, 4, 1).reshape(
        -1, height // spacing, width // spacing, samples
    )
    return last.permute(0, 3, 1, 2)


def _merge_phases(phases: Tensor, spacing: int) -> Tensor:
    """Take `_split_phases` back."""
    count, samples, height, width = phases.shape
    cells = phases.permute(0, 2, 3, 1).reshape(
        count // spacing**2, spacing, spacing, height, width, samples
    )
    return cells.permute(0, 5, 3, 1, 4, 2).reshape(
        count // spacing**2, samples, height * spacing, width * spacing
    )
