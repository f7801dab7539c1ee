"""The network in both forms: shared by all architectures, and fixed to one."""

import itertools

import torch
import torch.nn.functional as F

from layers import AVERAGE, IDENTITY, KERNEL, ConvNorm, Halve, Norm, SeparablePair, State, pool, total
from weights import Weights

CLASSES = 10
LR, MOMENTUM, L2, AUX_WEIGHT = 0.05, 0.9, 1e-4, 0.4
TOTAL_STEPS = 1_000_000  # of the pretended training: drop-path is as mild as at its beginning


class Layout:
    """Which layers reduce, and after which one the auxiliary head sits."""

    def __init__(self, config):
        third = config.layers // (4 if config.pools == 3 else 3)
        self.reductions = [third, 2 * third + 1] + ([config.layers] if config.pools == 3 else [])
        self.n_layers = config.layers + 2
        self.auxiliary = self.reductions[1] + 1 if config.aux else None


class Calibration:
    """Brings the two inputs of a cell to the same size and number of channels."""

    def __init__(self, weights, scope, first, second, channels, tracked):
        (first_channels, first_size), (second_channels, second_size) = first, second
        self.first = self.second = None
        if first_size != second_size:
            self.first = Halve(weights, scope + "/calibrate/pool_x", first_channels, channels, tracked)
        elif first_channels != channels:
            self.first = ConvNorm(weights, scope + "/calibrate/pool_x", first_channels, channels, tracked)
        if second_channels != channels:
            self.second = ConvNorm(weights, scope + "/calibrate/pool_y", second_channels, channels, tracked)

    def __call__(self, first, second, training=True):
        if self.first:
            first = State(self.first(first.rectified(), training))
        if self.second:
            second = State(self.second(second.rectified(), training))
        return first, second

    def parts(self):
        return [part for part in (self.first, self.second) if part]


def genes(numbers):
    """The four numbers of each node."""
    return [tuple(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]


def loose_ends(nodes):
    read = {i for node in nodes for i in node[0::2]}
    return [i for i in range(len(nodes) + 2) if i not in read]


class SharedCell:
    """A cell with the weights of every architecture."""

    def __init__(self, weights, scope, first, second, channels, n_nodes):
        self.calibration = Calibration(weights, scope, first, second, channels, False)
        self.edges = {}
        for node, side, op in itertools.product(range(n_nodes), "xy", KERNEL):
            size = KERNEL[op]
            edge = f"{scope}/cell_{node}/{side}/conv_{size}x{size}/stack_"
            self.edges[node, side, op] = SeparablePair(
                weights, [edge + "0", edge + "1"], size, channels, False, rows=node + 2
            )
        rows = n_nodes + 2
        self.join = weights.slot(
            scope + "/final_conv/w", "dense", channels, channels, 1, 1, rows=rows, fan_in=rows
        )
        self.norm = Norm(weights, scope + "/final_conv/bn", channels, False)

    def __call__(self, first, second, nodes):
        states = list(self.calibration(first, second))
        for place, (i, op_i, j, op_j) in enumerate(nodes):
            x = self._branch(states[i], (place, "x", op_i), i)
            y = self._branch(states[j], (place, "y", op_j), j)
            states.append(State(total(x, y)))
        return self._joined(states, loose_ends(nodes))

    def _branch(self, state, edge, row):
        op = edge[2]
        if op in KERNEL:
            return self.edges[edge](state.rectified(), row=row), True
        return (state.value if op == IDENTITY else state.pooled(op)), False

    def _joined(self, states, loose):
        maps = F.relu_(torch.cat([states[i].value for i in loose], 1))
        kernel = torch.cat([self.join(i) for i in loose], 1)
        return State(self.norm(F.conv2d(maps, kernel)))


class FixedCell:
    """A cell with the weights of one architecture; a reduction cell takes its strides inside."""

    def __init__(self, weights, scope, first, second, channels, nodes, stride):
        self.nodes, self.loose = nodes, loose_ends(nodes)
        self.calibration = Calibration(weights, scope, first, second, channels, True)
        self.base = ConvNorm(weights, scope + "/layer_base", channels, channels, True)
        self.edges = {}
        for place, node in enumerate(nodes):
            for side, i, op in (("x", *node[:2]), ("y", *node[2:])):
                edge = f"{scope}/cell_{place}/{side}_conv"
                self.edges[place, side] = FixedEdge(weights, edge, i, op, channels, stride if i < 2 else 1)
        size = -(-second[1] // stride)
        sizes = {i: second[1] if i < 2 else size for i in self.loose}
        smallest = min(sizes.values())
        self.halves = {
            i: Halve(weights, f"{scope}/final_combine/calibrate_{i}", channels, channels, True)
            for i in self.loose
            if sizes[i] != smallest
        }
        self.output = channels * len(self.loose), smallest

    def __call__(self, first, second, training, masks):
        first, second = self.calibration(first, second, training)
        states = [first, State(self.base(second.rectified(), training))]
        for place in range(len(self.nodes)):
            x, y = (self.edges[place, side](states, training, masks) for side in "xy")
            states.append(State(total(x, y)))
        maps = [states[i].value if i not in self.halves else self.halves[i](states[i].value, training) for i in self.loose]
        return State(torch.cat(maps, 1))

    def parts(self):
        edges = [edge.part for edge in self.edges.values() if edge.part]
        return [*self.calibration.parts(), self.base, *edges, *self.halves.values()]


class FixedEdge:
    """One operation on one input, dropped for some images while training."""

    def __init__(self, weights, scope, state, op, channels, stride):
        self.scope, self.state, self.op, self.stride, self.part = scope, state, op, stride, None
        if op in KERNEL:
            stacks = [scope + "/sep_conv_0", scope + "/sep_conv_1"]
            self.part = SeparablePair(weights, stacks, KERNEL[op], channels, True, stride)
        elif op == IDENTITY and stride == 2:
            self.part = Halve(weights, scope, channels, channels, True)

    def __call__(self, states, training, masks):
        state = states[self.state]
        if self.op in KERNEL:
            x = self.part(state.rectified(), training)
            return (x.mul_(masks[self.scope]) if masks else x), True
        if self.op == IDENTITY:
            return (self.part(state.value, training), True) if self.part else (state.value, False)
        x = state.pooled(self.op, self.stride)
        return (x * masks[self.scope], True) if masks else (x, False)


class AuxiliaryHead:
    """The classifier half-way up. Its weights stay as drawn; its gradient trains what lies below."""

    def __init__(self, weights, channels, size, pools):
        self.valid = pools == 2 or (size - 3) % 5 == 0
        pooled = (size - 5) // 3 + 1 if self.valid else -(-size // 3)
        self.project = ConvNorm(weights, "aux_head/proj", channels, 128, False)
        self.widen = ConvNorm(weights, "aux_head/avg_pool", 128, 768, False, size=pooled)
        self.classify = weights.slot("aux_head/fc/w", "matrix", 768, CLASSES, fan_in=768)

    def __call__(self, state):
        x = F.avg_pool2d(state.rectified(), 5, 3) if self.valid else pool(state.rectified(), AVERAGE, 3, 5)
        x = F.relu_(self.widen(F.relu_(self.project(x))))
        return x.mean((2, 3)) @ self.classify()


class Head:
    """Mean over each map, dropout, classes."""

    def __init__(self, weights, channels):
        self.classify = weights.slot("fc/w", "matrix", channels, CLASSES, fan_in=channels)

    def __call__(self, state, dropout):
        x = state.rectified().mean((2, 3))
        return (x if dropout is None else x * dropout(x.shape)) @ self.classify()


def mask(uniforms, keep):
    """One where a number survives, zero elsewhere, scaled to keep the mean."""
    return torch.floor(uniforms + keep).div_(keep)


class SharedChild:
    """The network that holds the weights of every architecture; statistics are always the batch's."""

    def __init__(self, config):
        self.config, layout = config, Layout(config)
        self.weights, channels, size = Weights(), config.filters, config.size
        self.stem = ConvNorm(self.weights, "stem_conv", config.channels, 3 * channels, False, size=3)
        first = second = (3 * channels, size)
        self.layers, self.auxiliary = [], None
        for layer in range(layout.n_layers):
            scope, halve = f"layer_{layer}", None
            if layer in layout.reductions:
                halve = Halve(self.weights, scope, second[0], 2 * channels, False)
                channels, size = 2 * channels, -(-size // 2)
                first, second = second, (channels, size)
            cell = SharedCell(self.weights, scope, first, second, channels, config.cells)
            auxiliary = None
            if layer == layout.auxiliary:
                auxiliary = AuxiliaryHead(self.weights, channels, size, config.pools)
            self.layers.append((halve, cell, auxiliary))
            first, second = second, (channels, size)
        self.head = Head(self.weights, channels)
        self.weights.allocate(config.seed)

    def __call__(self, images, arc, dropout=None, with_auxiliary=True):
        """Logits, and those of the auxiliary head or none."""
        half, logits = len(arc) // 2, None
        normal, reduction = genes(arc[:half]), genes(arc[half:])
        first = second = State(self.stem(images))
        for halve, cell, auxiliary in self.layers:
            if halve:
                first, second = second, State(halve(second.value))
            first, second = second, cell(first, second, reduction if halve else normal)
            if auxiliary and with_auxiliary:
                logits = auxiliary(second)
        return self.head(second, dropout), logits


class FixedChild:
    """The network of one architecture: moving moments for inference, drop-path for training."""

    def __init__(self, config, arc):
        self.config, layout = config, Layout(config)
        half = len(arc) // 2
        normal, reduction = genes(arc[:half]), genes(arc[half:])
        self.weights, channels = Weights(), config.filters
        self.stem = ConvNorm(self.weights, "stem_conv", config.channels, 3 * channels, True, size=3)
        first = second = (3 * channels, config.size)
        self.layers, self.auxiliary = [], None
        for layer in range(layout.n_layers):
            reduces = layer in layout.reductions
            channels, stride, nodes = (2 * channels, 2, reduction) if reduces else (channels, 1, normal)
            cell = FixedCell(self.weights, f"layer_{layer}", first, second, channels, nodes, stride)
            first, second, auxiliary = second, cell.output, None
            if layer == layout.auxiliary:
                auxiliary = AuxiliaryHead(self.weights, *second, config.pools)
            self.layers.append((cell, auxiliary))
        self.head = Head(self.weights, second[0])
        self.weights.allocate(config.seed)

    def fold(self):
        """Batch norms become part of the convolutions before them; for inference only."""
        for part in [self.stem] + [part for cell, _ in self.layers for part in cell.parts()]:
            part.fold()

    def keep_path(self, layer, step):
        """The probability that an edge of a layer survives at a step: lower for later layers and steps."""
        share = min(1.0, (step + 1) / TOTAL_STEPS)
        return 1 - share * (layer + 1) / len(self.layers) * (1 - self.config.drop_path_keep)

    def path_masks(self, n, step):
        """A mask for each edge that may be dropped, from one draw; none where nothing is ever dropped."""
        if self.config.drop_path_keep == 1.0:
            return None
        scopes = [
            (edge.scope, self.keep_path(layer, step))
            for layer, (cell, _) in enumerate(self.layers)
            for edge in cell.edges.values()
            if edge.op != IDENTITY
        ]
        keep = torch.tensor([keep for _, keep in scopes]).view(-1, 1, 1, 1, 1)
        masks = mask(torch.rand(len(scopes), n, 1, 1, 1), keep)
        return dict(zip((scope for scope, _ in scopes), masks))

    def __call__(self, images, training, masks=None, dropout=None):
        """Logits, and those of the auxiliary head or none."""
        first = second = State(self.stem(images, training))
        logits = None
        for cell, auxiliary in self.layers:
            first, second = second, cell(first, second, training, masks)
            if auxiliary and training:
                logits = auxiliary(second)
        return self.head(second, dropout), logits


def channels_last(images):
    """A copy with the channels last. `contiguous` would change nothing for a single channel."""
    return torch.empty(images.shape, memory_format=torch.channels_last).copy_(images)


class Trainer:
    """Cross entropy, and Nesterov momentum with an L2 penalty on all trained weights at once."""

    def __init__(self, weights, lr=LR, l2=L2):
        self.gradients = weights.gradients
        self.optimizer = torch.optim.SGD(
            [weights.values], lr, MOMENTUM, weight_decay=2 * l2, nesterov=True, fused=True
        )

    def backward(self, logits, auxiliary, labels):
        self.gradients.zero_()
        loss = F.cross_entropy(logits, labels)
        if auxiliary is not None:
            loss = loss + AUX_WEIGHT * F.cross_entropy(auxiliary, labels)
        loss.backward()

    def step(self, logits, auxiliary, labels):
        self.backward(logits, auxiliary, labels)
        self.optimizer.step()
