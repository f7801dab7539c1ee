"""Comparison with golden tensors, which the ENAS authors' code computed."""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from controller import Controller, reordered
from network import FixedChild, Layout, SharedChild, Trainer, channels_last, mask


class Golden:
    """One set of golden tensors: its settings, and the tensors of all its files."""

    def __init__(self, path):
        self.name = path.stem
        self.about = json.loads(path.read_text())
        self.config, self.tensors, self.noise = self.about["config"], {}, 0.0
        if (report := path.with_name("check_report.json")).exists():
            noise = json.loads(report.read_text()).get(self.name, {}).get("grad", {})
            self.noise = noise.get("max_rel_to_tensor_max", 0.0)
        for name in self.about.get("files", [self.name]):
            # Absent are gradients that the reference could not compute reliably.
            if (file := path.with_name(name + ".safetensors")).exists():
                self.tensors |= load_file(file)

    def __getitem__(self, key):
        return self.tensors[key]

    def __contains__(self, key):
        return key in self.tensors

    def images(self, key):
        return channels_last(self[key].permute(0, 3, 1, 2))

    def labels(self, key):
        return self[key].long()

    def arcs(self):
        return torch.cat([self["arcs/normal"], self["arcs/reduce"]], 1).tolist()

    def settings(self):
        config = self.config
        height, width, channels = config["image_hwc"]
        assert height == width, "the program takes square images only"
        settings = argparse.Namespace(
            size=height,
            channels=channels,
            filters=config["out_filters"],
            layers=config["num_layers"],
            cells=config["num_cells"],
            pools=3 if config["variant"] == "seed" else 2,
            aux=config["use_aux_heads"],
            keep_prob=config["keep_prob"],
            drop_path_keep=config["drop_path_keep_prob"] or 1.0,
            seed=0,
        )
        assert Layout(settings).reductions == config["pool_layers"], "the set has another layout"
        return settings

    def fill(self, weights):
        with torch.no_grad():
            for slot in weights.slots + weights.frozen_slots:
                for view, value in zip(slot.views, slot.from_golden(self["w/" + slot.name])):
                    view.copy_(value)


class Report:
    """Differences, each relative to the largest entry of the golden tensor."""

    def __init__(self, tolerance):
        self.tolerance, self.failures, self.count = tolerance, 0, 0

    def compare(self, golden, what, ours, theirs):
        """Two tensors, entry by entry."""
        size = max(float(theirs.abs().max()), 1e-12)
        self.judge(golden, what, float((ours - theirs).abs().max()) / size, self.tolerance)

    def compare_gradients(self, golden, what, pairs):
        """Many pairs of tensors as one long vector, by its norm.

        Gradients may be twenty times as far off as values, and as far as the golden set says that single precision
        is from double: where a maximum or a ReLU is nearly tied, the last bit decides which way a gradient goes.
        """
        pairs = [(ours.detach(), theirs) for ours, theirs in pairs]
        difference = sum(float((ours - theirs).square().sum()) for ours, theirs in pairs)
        size = sum(float(theirs.square().sum()) for _, theirs in pairs)
        allowed = max(20 * self.tolerance, golden.noise)
        self.judge(golden, what, math.sqrt(difference / size), allowed)

    def judge(self, golden, what, difference, allowed):
        fine = difference <= allowed
        self.failures, self.count = self.failures + (not fine), self.count + 1
        print(f"{golden.name:15} {what:25} {difference:9.1e} of {allowed:.1e}  {'ok' if fine else 'DIFFERS'}")


def check_search(golden, report):
    child = SharedChild(golden.settings())
    golden.fill(child.weights)
    labels = golden.labels("in/y1")
    for k, arc in enumerate(golden.arcs()):
        with torch.inference_mode():
            outputs = child(golden.images("in/x1"), arc)
        check_outputs(golden, report, k, *outputs, labels)
        if f"arc{k}/eval_logits_xt" in golden:
            with torch.inference_mode():
                logits, _ = child(golden.images("in/xt"), arc, with_auxiliary=False)
            report.compare(golden, f"arc{k} other batch", logits, golden[f"arc{k}/eval_logits_xt"])
    arc = golden.arcs()[0]
    check_training(golden, report, child.weights, lambda: child(golden.images("in/x1"), arc))


def check_fixed(golden, report):
    child = FixedChild(golden.settings(), golden.arcs()[0])
    golden.fill(child.weights)

    def forward():
        masks, drop = None, None
        if child.config.drop_path_keep < 1:
            keeps = golden.config["drop_path_keep_prob_per_layer"]
            edges = [(edge.scope, keeps[l]) for l, (cell, _) in enumerate(child.layers) for edge in cell.edges.values()]
            uniform = "in/uniform_drop_path/"
            masks = {s: mask(golden[uniform + s].view(-1, 1, 1, 1), k) for s, k in edges if uniform + s in golden}
        if child.config.keep_prob < 1:
            drop = lambda _: mask(golden["in/uniform_dropout"], child.config.keep_prob)
        return child(golden.images("in/x1"), True, masks, drop)

    with torch.no_grad():
        check_outputs(golden, report, 0, *forward(), golden.labels("in/y1"))
    check_training(golden, report, child.weights, forward)
    golden.fill(child.weights)
    check_inference(golden, report, child)


def check_inference(golden, report, child):
    if "eval_logits_xt_state0" not in golden:
        return
    for scope, (mean, variance) in child.weights.moments.items():
        if mean is not None:
            mean.copy_(golden[f"state0/{scope}/moving_mean"])
            variance.copy_(golden[f"state0/{scope}/moving_variance"])
    for what in ("inference", "inference, folded"):
        with torch.inference_mode():
            logits, _ = child(golden.images("in/xt"), False)
        report.compare(golden, what, logits, golden["eval_logits_xt_state0"])
        child.fold()


def check_outputs(golden, report, k, logits, auxiliary, labels):
    report.compare(golden, f"arc{k} logits", logits, golden[f"arc{k}/train_logits"])
    report.compare(golden, f"arc{k} loss", F.cross_entropy(logits, labels), golden[f"arc{k}/ce_loss"])
    if auxiliary is not None:
        report.compare(golden, f"arc{k} auxiliary logits", auxiliary, golden[f"arc{k}/aux_logits"])
        report.compare(golden, f"arc{k} auxiliary loss", F.cross_entropy(auxiliary, labels), golden[f"arc{k}/aux_loss"])


def check_training(golden, report, weights, forward):
    """Gradients with the penalty in them, and one update."""
    if f"grad/{weights.slots[0].name}" not in golden:
        return
    lr, l2 = golden.config["lr_step1"], golden.config["l2_reg"]
    trainer = Trainer(weights, lr, l2)
    trainer.backward(*forward(), golden.labels("in/y1"))

    def gradients():
        for slot in weights.slots:
            penalty = [2 * l2 * view.detach() for view in slot.views]
            name = "grad/" + slot.name
            # The set leaves out weights that the architecture does not use.
            theirs = slot.from_golden(golden[name]) if name in golden else penalty
            yield from zip((view.grad + more for view, more in zip(slot.views, penalty)), theirs)

    report.compare_gradients(golden, "gradient", gradients())
    trainer.optimizer.step()
    updated = [slot for slot in weights.slots if "step1/" + slot.name in golden]
    pairs = (pair for slot in updated for pair in zip(slot.views, slot.from_golden(golden["step1/" + slot.name])))
    report.compare_gradients(golden, "weights after a step", pairs)


def check_controller(golden, report):
    config = golden.config
    if config["temperature"] or not config["tanh_constant"]:
        print(f"{golden.name:15} left out: its policy has a temperature or no bounds, which the program does not know")
        return
    controller = Controller(config["num_cells"], 0, config["tanh_constant"], config["op_tanh_reduce"])
    with torch.no_grad():
        for name, view in controller.w.items():
            view.copy_(golden["w/" + name])
    arcs = torch.tensor(golden.arcs())
    _, cost, entropy = controller.walk(len(arcs), reordered(arcs))
    report.compare(golden, "−ln p", cost.detach(), golden["nll_total"])
    report.compare(golden, "entropy", entropy, golden["entropy_total"])
    if "gradient" in golden.about:
        gradient = golden.about["gradient"]
        advantage = gradient["reward"] - gradient["baseline_after"]
        (cost[gradient["arc_index"]] * advantage).backward()
        for name, view in controller.w.items():
            report.compare(golden, f"gradient {name}", view.grad, golden["grad/" + name])
        controller.update(config["lr"], config["adam_beta2"], config["adam_epsilon"])
        for name, view in controller.w.items():
            report.compare(golden, f"step {name}", view.detach(), golden["adam_step1/" + name])


CHECKS = {"child_search": check_search, "child_fixed": check_fixed, "controller": check_controller}


def check(folders, tolerance):
    """Compares with all sets in the folders and ends the program: with 0 where nothing differs."""
    report = Report(tolerance)
    for folder in folders:
        for path in sorted(Path(folder).glob("*.json")):
            kind = next((kind for kind in CHECKS if path.stem.startswith(kind + "_")), None)
            if kind and not path.stem.endswith(("_grad", "_aux")):
                CHECKS[kind](Golden(path), report)
    if not report.count:
        sys.exit(f"error: no golden sets in {', '.join(folders)}; give crates/enas-child/goldens")
    print(f"{report.count} comparisons, {report.failures} beyond tolerance")
    sys.exit(report.failures > 0)
