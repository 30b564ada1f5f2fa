"""One training step of an SRM on a CPU, with a manual backward pass in fixed memory.

Autograd asks for every intermediate result anew, and its bookkeeping and the faulting in of fresh
pages take as long as the arithmetic. Here each large array is taken once and serves all steps.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from napari_noiser.methods.noiser.network import EPS, SRM, collect

_aten = torch.ops.aten  # what autograd itself calls, but into memory that exists


class ManualBackward:
    """The loss of an SRM on a signal, L1 plus total variation, with its gradient.

    The network is on the CPU; the signal, (1, C, Y, X) or (1, C, Z, Y, X), is read anew in every
    call.

    Notes
    -----
    The instance normalization takes no pass over the hidden channels: as in rendering, it is
    folded into the first convolution, by the moments of the signal's patches. The backward pass
    through it needs only those, and what the patches have in common with the gradient.
    """

    def __init__(self, network: SRM, signal: Tensor, tv_weight: float) -> None:
        self._network, self._signal, self._tv_weight = network, signal[0], tv_weight
        self._first, self._second = _Windows(self._signal), _Windows(self._signal)
        self._weights: dict[str, Tensor] = {}
        shape = len(network.expanded()["first_bias"]), prod(signal.shape[2:])
        self._normal, self._hidden = signal.new_empty((2, *shape))
        self._output, self._error, self._grad_output = signal.new_empty((3, *self._signal.shape))
        self._neighbors = [
            (
                _but_one(self._grad_output, axis, at),
                *(_but_one(self._output, axis, n) for n in pair),
            )
            for axis in range(1, self._signal.ndim)
            for at, pair in ((0, (0, 1)), (1, (1, 0)))
        ]

    @torch.no_grad()
    def __call__(self) -> Tensor:
        """Return the loss, and leave its gradient in the parameters' ``grad``.

        The first bias gets none: it cancels in the instance normalization.
        """
        self._weights = self._network.expanded()
        folded = self._forward_first()
        transposed = self._forward_second()
        loss = self._backward_loss()
        self._backward_second(transposed)
        self._backward_first(folded)
        return loss

    def _forward_first(self) -> _Folded:
        """Go to `_hidden`; return the first weight with its normalization."""
        weight, columns = self._weights["first_weight"].flatten(1), self._first.columns
        self._first.im2col(self._signal)
        columns.sub_(columns.mean(dim=1, keepdim=True))
        covariance = torch.mm(columns, columns.T).div_(columns.shape[1])
        variance = torch.mm(weight, covariance).mul_(weight).sum(dim=1, keepdim=True)
        inverse_deviation = variance.add_(EPS).rsqrt_()
        folded = _Folded(weight * inverse_deviation, inverse_deviation, covariance)
        torch.mm(folded.scaled, columns, out=self._normal)
        _aten.gelu.out(self._normal, out=self._hidden)
        return folded

    def _forward_second(self) -> Tensor:
        """Go from `_hidden` to `_output`; return the weights, transposed, one row a tap.

        It is multiplied once for all pixels that it contributes to: the one on one side by the
        kernel's tap on the other.
        """
        weight = self._weights["second_weight"]
        transposed = weight.flatten(2).flip(2).transpose(1, 2).flatten(0, 1)
        torch.mm(transposed, self._hidden, out=self._second.columns)
        response = self._second.col2im()
        bias = self._weights["second_bias"].view(-1, *(1 for _ in response.shape[1:]))
        # tanh x is 2 sigmoid(2x) - 1, of which torch is several times faster on a CPU.
        torch.add(response, bias, out=self._output).mul_(2).sigmoid_().mul_(2).sub_(1)
        return transposed

    def _backward_loss(self) -> Tensor:
        """Set `_grad_output` to the gradient of the loss before tanh; return the loss.

        The sum of squared differences of neighbors is a quadratic form: half its gradient times
        the output itself.
        """
        output, error, gradient = self._output, self._error, self._grad_output.zero_()
        for here, value, neighbor in self._neighbors:
            here.add_(value).sub_(neighbor)
        variation = torch.dot(output.view(-1), gradient.view(-1))
        torch.sub(output, self._signal, out=error)
        loss: Tensor = torch.linalg.vector_norm(error, 1) + self._tv_weight * variation
        torch.add(error.sign_(), gradient, alpha=2 * self._tv_weight, out=gradient)
        gradient.div_(output.numel())
        _aten.tanh_backward.grad_input(gradient, output, grad_input=gradient)
        return loss.div_(output.numel())

    def _backward_second(self, transposed: Tensor) -> None:
        """Set the second layer's gradients; turn `_hidden` into the gradient before GELU."""
        weight, hidden = self._weights["second_weight"], self._hidden
        grad_columns = self._second.im2col(self._grad_output)
        grad_weight = torch.mm(grad_columns, hidden.T).view(len(weight), -1, weight.shape[1])
        self._set_gradient("second_weight", grad_weight.flip(1).transpose(1, 2))
        bias = self._network.second_bias
        bias.grad = self._grad_output.view(len(bias), -1).sum(dim=1)
        torch.mm(transposed.T, grad_columns, out=hidden)
        _aten.gelu_backward.grad_input(hidden, self._normal, grad_input=hidden)

    def _backward_first(self, folded: _Folded) -> None:
        """Go from the gradient in `_hidden` through the normalization to the first weight's.

        The normalization lets nothing pass that would move or stretch a whole channel. Patches
        are centered, so that nothing moves one.
        """
        gradient = torch.mm(self._first.columns, self._hidden.T).T
        stretch = torch.mul(gradient, folded.scaled).sum(dim=1, keepdim=True)
        through = gradient - stretch * torch.mm(folded.scaled, folded.covariance)
        through.mul_(folded.inverse_deviation)
        self._set_gradient("first_weight", through.view(len(through), len(self._signal), -1))

    def _set_gradient(self, name: str, gradient: Tensor) -> None:
        """Set the gradient of a weight from that of its kernels in all orientations, (A, B, taps).

        Contiguous, since torch's fused Adam walks along the memory whatever the strides say.
        """
        weight = getattr(self._network, name)
        collected = collect(name, gradient, self._network.orientations)
        weight.grad = collected.reshape(weight.shape).contiguous()


class _Folded(NamedTuple):
    """The first convolution with its normalization folded in, for patches that are centered.

    `scaled` is the weight times `inverse_deviation`, (hidden, 1); `covariance` that of the
    patches, normalized by 1/N.
    """

    scaled: Tensor
    inverse_deviation: Tensor
    covariance: Tensor


def _but_one(image: Tensor, axis: int, start: int) -> Tensor:
    """Return an image without its last plane along an axis (start 0), or without its first (1)."""
    return image.narrow(axis, start, image.shape[axis] - 1)


class _Windows:
    """The 3x3 (3x3x3) windows of an image (C, ...) with a voxel of zeros around it, as columns.

    `columns`, (C * 3**ndim, voxels), are in the order of a convolution's kernel.
    """

    def __init__(self, like: Tensor) -> None:
        samples, *spatial = like.shape
        ndim = len(spatial)
        self._padded = windows = like.new_empty((samples, *(length + 2 for length in spatial)))
        self._inside = self._padded[(slice(None), *[slice(1, -1)] * ndim)]
        for axis in range(1, like.ndim):
            windows = windows.unfold(axis, 3, 1)
        self._windows = windows.permute(0, *range(-ndim, 0), *range(1, like.ndim))
        self.columns = like.new_empty((samples * 3**ndim, prod(spatial)))
        self._stacked = self.columns.view(self._windows.shape)
        window, column = (view.movedim(0, ndim) for view in (self._windows, self._stacked))
        self._pairs = [(window[tap], column[tap]) for tap in product(range(3), repeat=ndim)]

    def im2col(self, image: Tensor) -> Tensor:
        """Return the windows around an image's voxels as columns, valid until the next call."""
        self._padded.zero_()
        self._inside.copy_(image)
        self._stacked.copy_(self._windows)
        return self.columns

    def col2im(self) -> Tensor:
        """Return the sum of the columns in an image (C, ...): the adjoint of `im2col`.

        It is valid until the next call.
        """
        self._padded.zero_()
        for window, column in self._pairs:
            window.add_(column)
        return self._inside
