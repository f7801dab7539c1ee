"""The policy that samples architectures."""

import itertools
import math

import torch


class Controller:
    """The LSTM policy. Its weights are views of one buffer, as the network's are."""

    SIZE = 64
    SHAPES = {
        "lstm/layer_0/w": (2 * SIZE, 4 * SIZE),
        "g_emb": (1, SIZE),
        "emb/w": (5, SIZE),
        "softmax/w": (SIZE, 5),
        "softmax/b": (1, 5),
        "attention/w_1": (SIZE, SIZE),
        "attention/w_2": (SIZE, SIZE),
        "attention/v": (SIZE, 1),
    }
    FIXED_BIAS = torch.tensor([[0.25, 0.25, -0.25, -0.25, -0.25]])

    def __init__(self, n_nodes, seed=0, bound=1.1, op_reduction=2.5):
        self.n_nodes, self.index_bound, self.op_bound = n_nodes, bound, bound / op_reduction
        numbers = [math.prod(shape) for shape in self.SHAPES.values()]
        generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
        self.values = torch.empty(sum(numbers)).uniform_(-0.1, 0.1, generator=generator)
        self.gradients, self.squares, self.steps = torch.zeros_like(self.values), torch.zeros_like(self.values), 0
        self.w = {}
        parts = zip(self.SHAPES.items(), self.values.split(numbers), self.gradients.split(numbers))
        for (name, shape), value, gradient in parts:
            self.w[name] = value.view(shape).requires_grad_()
            self.w[name].grad = gradient.view(shape)
        with torch.no_grad():
            self.w["softmax/b"].copy_(torch.tensor([[10.0, 10.0, 0.0, 0.0, 0.0]]))
        self.widths = [w for i in range(n_nodes) for w in (i + 2, i + 2, 5, 5)] * 2
        self.segments = torch.repeat_interleave(torch.eye(len(self.widths)), torch.tensor(self.widths), 0)
        self.starts = torch.tensor([0, *itertools.accumulate(self.widths)][:-1])

    def walk(self, n, forced=None):
        """Samples `n` architectures at once, or follows `forced` ones: arcs, −ln p and entropy of each.

        Inputs of the LSTM enter as products with its upper half, which are computed once per input, and all
        choices are normalised at the end by one product: the bounds keep the exponentials small.
        """
        w, size = self.w, self.SIZE
        upper, lower = w["lstm/layer_0/w"].split(size)
        start, *_ = embedded = torch.cat([w["g_emb"], w["emb/w"]]) @ upper
        start, of_op = start.expand(n, -1), embedded[1:]
        key_and_input = torch.cat([w["attention/w_1"], upper], 1)
        h = c = torch.zeros(n, size)
        rows, nowhere = torch.arange(n), torch.zeros(n, 4 * size)
        noise = None if forced is not None else torch.empty(n, sum(self.widths)).exponential_().log_().neg_()
        logits, picks, at = [], [], 0

        def advance(z):
            nonlocal h, c
            z = torch.addmm(z, h, lower)
            gates, candidate = z[:, : 3 * size].sigmoid(), z[:, 3 * size :].tanh()
            i, f, o = gates.chunk(3, 1)
            c = torch.addcmul(f * c, i, candidate)
            h = o * c.tanh()

        def pick(scores):
            nonlocal at
            width = scores.shape[1]
            logits.append(scores)
            if forced is None:
                picks.append((scores.detach() + noise[:, at : at + width]).argmax(1))
            else:
                picks.append(forced[:, len(picks)])
            at += width
            return picks[-1]

        for bias in (self.FIXED_BIAS, None):
            keys, inputs = [], [nowhere, nowhere]
            for _ in range(2):
                advance(start)
                keys.append(h @ w["attention/w_1"])
            for _ in range(self.n_nodes):
                all_keys, all_inputs, z = torch.stack(keys, 1), torch.stack(inputs, 1), start
                for _ in range(2):
                    advance(z)
                    query = (h @ w["attention/w_2"]).unsqueeze(1)
                    scores = ((all_keys + query).tanh() @ w["attention/v"]).squeeze(2)
                    z = all_inputs[rows, pick(scores.tanh() * self.index_bound)]
                for _ in range(2):
                    advance(z)
                    scores = torch.addmm(w["softmax/b"], h, w["softmax/w"]).tanh() * self.op_bound
                    z = of_op[pick(scores if bias is None else scores + bias)]
                advance(z)
                key, projected = (h @ key_and_input).split([size, 4 * size], 1)
                keys.append(key)
                inputs.append(projected)
        return self._scored(torch.cat(logits, 1), torch.stack(picks, 1))

    def _scored(self, logits, picks):
        partition = (logits.exp() @ self.segments).log()
        cost = partition.sum(1) - logits.gather(1, picks + self.starts).sum(1)
        with torch.no_grad():
            p = (logits - partition @ self.segments.T).exp()
            entropy = partition.sum(1) - (p * logits).sum(1)
        return reordered(picks), cost, entropy

    def update(self, lr=0.0035, decay=0.999, epsilon=1e-3):
        """Adam without momentum, ε outside the correction."""
        self.steps += 1
        g = self.gradients
        self.squares.mul_(decay).addcmul_(g, g, value=1 - decay)
        rate = lr * math.sqrt(1 - decay**self.steps)
        self.values.addcdiv_(g, self.squares.sqrt().add_(epsilon), value=-rate)
        g.zero_()


def reordered(picks):
    """Between the order of choice (input, input, op, op) and of writing (input, op, input, op); its own inverse."""
    return picks.view(len(picks), -1, 4)[:, :, [0, 2, 1, 3]].reshape(len(picks), -1)
