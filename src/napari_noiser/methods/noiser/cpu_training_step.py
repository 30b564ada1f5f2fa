"""One training step of an SRM on a CPU, with a manual backward pass in fixed memory.

Autograd asks for every intermediate result anew, and its bookkeeping and the faulting in of fresh
pages take as long as the arithmetic. Here each large array is taken once and serves all steps.
"""

from __future__ import annotations

from itertools import product
from math import prod

import torch
from torch import Tensor

from napari_noiser.methods.noiser.network import EPS, SRM

_aten = torch.ops.aten  # what autograd itself calls, but into memory that exists


class ManualBackward:
    """The loss of an SRM on a signal, L1 plus total variation, with its gradient.

    The network is on the CPU; the signal, (1, C, Y, X) or (1, C, Z, Y, X), is read anew in every
    call.
    """

    def __init__(self, network: SRM, signal: Tensor, tv_weight: float) -> None:
        self._network, self._signal, self._tv_weight = network, signal[0], tv_weight
        self._first, self._second = _Windows(self._signal), _Windows(self._signal)
        shape = len(network.first_bias), prod(signal.shape[2:])
        self._normal, self._hidden, self._grad_hidden = signal.new_empty((3, *shape))
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
        inverse_deviation = self._forward_first()
        transposed = self._forward_second()
        loss = self._backward_loss()
        self._backward_second(transposed)
        self._backward_first(inverse_deviation)
        return loss

    def _forward_first(self) -> Tensor:
        """Go to `_hidden`; return 1 / sigma of each of its channels before normalization."""
        normal, weight = self._normal, self._network.first_weight.flatten(1)
        torch.mm(weight, self._first.im2col(self._signal), out=normal)
        normal.sub_(normal.mean(dim=1, keepdim=True))
        variance: Tensor = torch.linalg.vector_norm(normal, dim=1, keepdim=True).square_()
        inverse_deviation = variance.div_(normal.shape[1]).add_(EPS).rsqrt_()
        normal.mul_(inverse_deviation)
        _aten.gelu.out(normal, out=self._hidden)
        return inverse_deviation

    def _forward_second(self) -> Tensor:
        """Go from `_hidden` to `_output`; return the weights, transposed, one row a tap.

        It is multiplied once for all pixels that it contributes to: the one on one side by the
        kernel's tap on the other.
        """
        weight = self._network.second_weight
        transposed = weight.flatten(2).flip(2).transpose(1, 2).flatten(0, 1)
        torch.mm(transposed, self._hidden, out=self._second.columns)
        response = self._second.col2im()
        bias = self._network.second_bias.view(-1, *(1 for _ in response.shape[1:]))
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
        """Set the second layer's gradients and, before GELU, `_grad_hidden`."""
        weight, gradient = self._network.second_weight, self._grad_hidden
        grad_columns = self._second.im2col(self._grad_output)
        grad_weight = torch.mm(grad_columns, self._hidden.T).view(len(weight), -1, weight.shape[1])
        _set_gradient(weight, grad_weight.flip(1).transpose(1, 2))
        _set_gradient(self._network.second_bias, self._grad_output.flatten(1).sum(dim=1))
        torch.mm(transposed.T, grad_columns, out=gradient)
        _aten.gelu_backward.grad_input(gradient, self._normal, grad_input=gradient)

    def _backward_first(self, inverse_deviation: Tensor) -> None:
        """Go from `_grad_hidden` through the normalization to the first weight's gradient.

        The normalization lets nothing pass that would move or stretch a whole channel.
        """
        normal, gradient = self._normal, self._grad_hidden
        stretch = torch.mul(gradient, normal, out=self._hidden).mean(dim=1, keepdim=True)
        gradient.sub_(gradient.mean(dim=1, keepdim=True)).addcmul_(normal, stretch, value=-1)
        grad_weight = torch.mm(self._first.columns, gradient.T).T * inverse_deviation
        _set_gradient(self._network.first_weight, grad_weight)


def _but_one(image: Tensor, axis: int, start: int) -> Tensor:
    """Return an image without its last plane along an axis (start 0), or without its first (1)."""
    return image.narrow(axis, start, image.shape[axis] - 1)


def _set_gradient(parameter: Tensor, gradient: Tensor) -> None:
    # Contiguous, since torch's fused Adam walks along the memory whatever the strides say.
    parameter.grad = gradient.reshape(parameter.shape).contiguous()


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
