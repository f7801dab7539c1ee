"""Weights of a network, as views of one buffer."""

import math

import torch


class Slot:
    """Where a weight lies: one tensor per row of a shared table, or a single one."""

    def __init__(self, name, kind, shape, rows, deviation):
        self.name, self.kind, self.shape, self.rows, self.deviation = name, kind, shape, rows, deviation
        self.views = []

    @property
    def numbers(self):
        return self.rows * math.prod(self.shape)

    def __call__(self, row=0):
        return self.views[row]

    def from_golden(self, array):
        """The rows of a TensorFlow array in PyTorch's order of axes."""
        outer, *inner = self.shape
        for row in array.reshape(self.rows, -1).unbind():
            if self.kind == "dense":
                yield row.view(*inner[1:], inner[0], outer).permute(3, 2, 0, 1)
            elif self.kind == "depthwise":
                yield row.view(*inner[1:], outer, 1).permute(2, 3, 0, 1)
            else:
                yield row.view(self.shape)


class Weights:
    """All weights of a network in two buffers: what is trained, and the auxiliary head, which is not."""

    def __init__(self):
        self.slots, self.frozen_slots, self.moments = [], [], {}

    def slot(self, name, kind, *shape, rows=1, fan_in=None, value=None):
        """A place for weights drawn by He's rule for `fan_in`, or filled with `value`."""
        deviation = None if fan_in is None else math.sqrt(2 / fan_in)
        slot = Slot(name, kind, shape, rows, deviation)
        slot.value = value
        (self.frozen_slots if name.startswith("aux_head") else self.slots).append(slot)
        return slot

    def allocate(self, seed):
        generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
        self.values = torch.nn.Parameter(self._buffer(self.slots))
        self.gradients = self.values.grad = torch.zeros_like(self.values)
        self._frozen = self._buffer(self.frozen_slots)
        self._hand_out(self.frozen_slots, self._frozen, None)
        self._hand_out(self.slots, self.values.data, self.gradients)
        for slot in self.slots + self.frozen_slots:
            for view in slot.views:
                self._fill(view.detach(), slot, generator)

    @staticmethod
    def _buffer(slots):
        return torch.empty(sum(slot.numbers for slot in slots))

    @staticmethod
    def _hand_out(slots, buffer, gradients):
        start = 0
        for slot in slots:
            for _ in range(slot.rows):
                end = start + math.prod(slot.shape)
                view = buffer[start:end].view(slot.shape)
                if gradients is not None:
                    view.requires_grad_()
                    view.grad = gradients[start:end].view(slot.shape)
                slot.views.append(view)
                start = end

    @staticmethod
    def _fill(view, slot, generator):
        if slot.deviation is None:
            view.fill_(slot.value)
        else:
            s = slot.deviation
            torch.nn.init.trunc_normal_(view, 0.0, s, -2 * s, 2 * s, generator=generator)
