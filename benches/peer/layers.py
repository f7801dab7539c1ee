"""Layers of the network, and maps that remember what was computed from them."""

import functools
import math

import torch
import torch.nn.functional as F

SEP3, SEP5, AVERAGE, MAXIMUM, IDENTITY = range(5)
KERNEL = {SEP3: 3, SEP5: 5}
EPSILON = 1.001e-5


class Norm:
    """Batch norm. `tracked` norms keep moving moments for inference, the others always use the batch's."""

    def __init__(self, weights, scope, channels, tracked, rows=1):
        self.scale = weights.slot(scope + "/scale", "vector", channels, rows=rows, value=1.0)
        self.offset = weights.slot(scope + "/offset", "vector", channels, rows=rows, value=0.0)
        self.moments = (torch.zeros(channels), torch.ones(channels)) if tracked else (None, None)
        weights.moments[scope] = self.moments

    def __call__(self, x, training=True, row=0):
        by_batch = training or self.moments[0] is None
        return F.batch_norm(x, *self.moments, self.scale(row), self.offset(row), by_batch, 0.1, EPSILON)

    def as_product(self):
        """Slope and intercept per channel that do the same in inference."""
        mean, variance = self.moments
        slope = self.scale() / torch.sqrt(variance + EPSILON)
        return slope, self.offset() - mean * slope


def folded(kernel, slope, intercept):
    return (kernel * slope.view(-1, 1, 1, 1)).detach().contiguous(), intercept.detach().clone()


class ConvNorm:
    """Dense convolution, then batch norm."""

    def __init__(self, weights, scope, inputs, outputs, tracked, size=1, kernel_name="/w", norm="/bn"):
        self.kernel = weights.slot(
            scope + kernel_name, "dense", outputs, inputs, size, size, fan_in=size * size * inputs
        )
        self.norm = Norm(weights, scope + norm, outputs, tracked)
        # A kernel of even size wants one more zero behind than before, which a convolution cannot add itself.
        self.padding, self.extra = (size - 1) // 2, 1 - size % 2
        self.fused = None

    def fold(self):
        self.fused = folded(self.kernel(), *self.norm.as_product())

    def __call__(self, x, training=True):
        if self.extra:
            x = F.pad(x, (0, 1, 0, 1))
        if self.fused:
            return F.conv2d(x, *self.fused, padding=self.padding)
        return self.norm(F.conv2d(x, self.kernel(), padding=self.padding), training)


class Halve:
    """Factorised reduction: half of the outputs from the even pixels, half from the odd ones, then batch norm."""

    def __init__(self, weights, scope, inputs, outputs, tracked):
        def kernel(path):
            return weights.slot(f"{scope}/{path}/w", "dense", outputs // 2, inputs, 1, 1, fan_in=inputs)

        self.even, self.odd = kernel("path1_conv"), kernel("path2_conv")
        self.norm, self.fused = Norm(weights, scope + "/bn", outputs, tracked), None

    def fold(self):
        slope, intercept = (part.chunk(2) for part in self.norm.as_product())
        kernels = (self.even(), self.odd())
        self.fused = [folded(*parts) for parts in zip(kernels, slope, intercept)]

    def __call__(self, x, training=True):
        if x.shape[2] % 2:
            x = F.pad(x, (0, 1, 0, 1))
        even, odd = self.fused or ((self.even(),), (self.odd(),))
        halves = [F.conv2d(x, *even, stride=2), F.conv2d(x[:, :, 1:, 1:], *odd, stride=2)]
        both = torch.cat(halves, 1)
        return both if self.fused else self.norm(both, training)


def same_padding(length, kernel, stride):
    """Zeros before and after, so that the output has ⌈length / stride⌉ places."""
    total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def depthwise(x, kernel, stride):
    size = kernel.shape[2]
    if stride == 1:
        return F.conv2d(x, kernel, padding=size // 2, groups=x.shape[1])
    sides = same_padding(x.shape[3], size, stride) + same_padding(x.shape[2], size, stride)
    return F.conv2d(F.pad(x, sides), kernel, stride=stride, groups=x.shape[1])


class SeparablePair:
    """Twice ReLU, depthwise and pointwise convolution, batch norm; the caller has applied the first ReLU.

    With `rows`, it holds a table with one row of weights per possible input.
    """

    def __init__(self, weights, scopes, size, channels, tracked, stride=1, rows=None):
        depth_fan, point_fan = (rows, rows) if rows else (size * size * channels, channels)
        rows = rows or 1
        self.stride, self.stacks, self.fused = stride, [], None
        for scope in scopes:
            depth = weights.slot(
                scope + "/w_depth", "depthwise", channels, 1, size, size, rows=rows, fan_in=depth_fan
            )
            point = weights.slot(
                scope + "/w_point", "dense", channels, channels, 1, 1, rows=rows, fan_in=point_fan
            )
            self.stacks.append((depth, point, Norm(weights, scope + "/bn", channels, tracked, rows)))

    def fold(self):
        self.fused = [folded(point(), *norm.as_product()) for _, point, norm in self.stacks]

    def __call__(self, rectified, training=True, row=0):
        x, stride = rectified, self.stride
        for place, (depth, point, norm) in enumerate(self.stacks):
            if place:
                x, stride = F.relu_(x), 1
            x = depthwise(x, depth(row), stride)
            x = F.conv2d(x, *self.fused[place]) if self.fused else norm(F.conv2d(x, point(row)), training, row)
        return x


@functools.cache
def averaging(channels, size):
    """A depthwise kernel that averages, and what makes up for the zeros outside the map."""
    with torch.inference_mode(False):
        one = torch.full((1, 1, 3, 3), 1 / 9)
        return one.repeat(channels, 1, 1, 1), F.conv2d(torch.ones(1, 1, size, size), one, padding=1).reciprocal()


def pool(x, op, stride, size=3):
    """Padding enters neither averages nor maxima. A convolution averages in less than half the time."""
    if (op, stride, size) == (AVERAGE, 1, 3):
        kernel, scale = averaging(x.shape[1], x.shape[2])
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1]).mul_(scale)
    before = same_padding(x.shape[2], size, stride)[0]
    if op == AVERAGE:
        return F.avg_pool2d(x, size, stride, before, ceil_mode=stride > 1, count_include_pad=False)
    return F.max_pool2d(x, size, stride, before, ceil_mode=stride > 1)


class State:
    """A map, and what several readers may want of it, computed when first asked for."""

    def __init__(self, value):
        self.value, self._rectified, self._pooled = value, None, {}

    @property
    def channels(self):
        return self.value.shape[1]

    @property
    def size(self):
        return self.value.shape[2]

    def rectified(self):
        if self._rectified is None:
            self._rectified = F.relu(self.value)
        return self._rectified

    def pooled(self, op, stride=1):
        if (op, stride) not in self._pooled:
            self._pooled[op, stride] = pool(self.value, op, stride)
        return self._pooled[op, stride]


def total(a, b):
    """The sum of two branches, each a map and whether nobody else reads it."""
    (x, x_is_ours), (y, y_is_ours) = a, b
    if x_is_ours:
        return x.add_(y)
    return y.add_(x) if y_is_ours else x + y
