"""ENAS micro search in PyTorch, to measure `enas bench` against.

It times the same steps as `enas bench`, takes the same flags and prints the same JSON keys; `check` compares it with
golden tensors. It is a benchmark, not a tool for searching: there is no data, no loop, no saved model.

What makes it fast on a processor, beside PyTorch's own kernels:
- maps are channels-last; only what the architecture asks for is computed, each ReLU and each pooling once;
- all weights are views of one buffer, so that resetting gradients and updating are one call each; every row of a
  shared table is a leaf of its own, so that rows out of use cost the backward pass nothing;
- results that no backward formula needs are overwritten in place, and averages are taken by convolutions;
- the controller samples all architectures of an update as one batch.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from controller import Controller
from network import CLASSES, FixedChild, SharedChild, Trainer, channels_last, genes, mask

SAMPLED_ARCS = 64


def search_step(args):
    images, labels = batch_of(args)
    child, arcs, keep = SharedChild(args), arcs_of(args), args.keep_prob
    trainer = Trainer(child.weights)

    def step(i):
        arc = arcs[i % len(arcs)]
        logits, auxiliary = child(channels_last(images), arc, dropout(keep))
        trainer.step(logits, auxiliary, labels)

    return step


def reward_step(args):
    """Dropout stays on, as in the published code."""
    images, labels = batch_of(args)
    child, arcs, keep = SharedChild(args), arcs_of(args), args.keep_prob

    @torch.inference_mode()
    def step(i):
        arc = arcs[i % len(arcs)]
        logits, _ = child(channels_last(images), arc, dropout(keep), with_auxiliary=False)
        return hits(logits, labels)

    return step


def controller_step(args):
    controller, n, decay = Controller(args.cells, args.seed), args.aggregate, 0.99
    baseline = 0.0

    def step(_):
        nonlocal baseline
        _, cost, entropy = controller.walk(n)
        advantages = []
        for reward in (torch.rand(n) + 1e-4 * entropy).tolist():
            baseline -= (1 - decay) * (baseline - reward)
            advantages.append(reward - baseline)
        (cost @ torch.tensor(advantages)).div(n).backward()
        controller.update()

    return step


def fixed_step(args):
    images, labels = batch_of(args)
    child, keep = FixedChild(args, arc_of(args)), args.keep_prob
    trainer = Trainer(child.weights)

    def step(i):
        masks = child.path_masks(args.batch, i)
        logits, auxiliary = child(channels_last(images), True, masks, dropout(keep))
        trainer.step(logits, auxiliary, labels)

    return step


def fixed_infer(args):
    images, labels = batch_of(args)
    child = FixedChild(args, arc_of(args))
    if args.fold:
        child.fold()

    @torch.inference_mode()
    def step(_):
        return hits(child(channels_last(images), False)[0], labels)

    return step


MODES = {
    "search-step": search_step,
    "reward-step": reward_step,
    "controller-step": controller_step,
    "fixed-step": fixed_step,
    "fixed-infer": fixed_infer,
}


def dropout(keep):
    return None if keep == 1.0 else lambda shape: mask(torch.rand(shape), keep)


def hits(logits, labels):
    return int((logits.argmax(1) == labels).sum())


def batch_of(args):
    generator = torch.Generator(torch.get_default_device()).manual_seed(args.seed)
    images = torch.randn(args.batch, args.channels, args.size, args.size, generator=generator)
    return images, torch.randint(0, CLASSES, (args.batch,), generator=generator)


def arcs_of(args):
    """The architectures of --arcs, or as many draws of an untrained policy."""
    if not args.arcs:
        with torch.no_grad():
            return Controller(args.cells, args.seed).walk(SAMPLED_ARCS)[0].tolist()
    try:
        lines = Path(args.arcs).read_text().splitlines()
    except OSError as error:
        sys.exit(f"error: --arcs: cannot read {args.arcs}: {error.strerror}")
    arcs = [parsed(line, f"--arcs, line {at}", args.cells) for at, line in enumerate(lines, 1) if is_arc(line)]
    return arcs or sys.exit(f"error: --arcs: {args.arcs} has no architectures")


def is_arc(line):
    return bool(line.strip()) and not line.lstrip().startswith("#")


def arc_of(args):
    return parsed(args.arc, "--arc", args.cells) if args.arc else sys.exit("error: this mode needs --arc")


def parsed(text, where, cells):
    """An architecture from its numbers, four per node."""
    try:
        arc = [int(word) for word in text.split()]
    except ValueError:
        sys.exit(f"error: {where}: {text!r} is not a list of whole numbers")
    if len(arc) != 8 * cells:
        sys.exit(f"error: {where}: {len(arc)} numbers, but --cells {cells} takes {8 * cells}")
    for place, (i, op_i, j, op_j) in enumerate(genes(arc)):
        node = place % cells
        if not (0 <= i < node + 2 and 0 <= j < node + 2 and 0 <= op_i < 5 and 0 <= op_j < 5):
            sys.exit(f"error: {where}: node {node + 2} cannot be {i} {op_i} {j} {op_j}")
    return arc


def bench(args):
    torch.set_num_threads(args.threads)
    if args.device != "cpu":  # a default device slows every call down a little
        torch.set_default_device(args.device)
    torch.manual_seed(args.seed)
    step = MODES[args.mode](args)
    for i in range(args.warmup):
        step(i)
    if args.profile:
        with torch.profiler.profile() as profile:
            ms = [timed(step, i) for i in range(args.iters)]
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=30), file=sys.stderr)
    else:
        ms = [timed(step, i) for i in range(args.iters)]
    print(json.dumps(line(args, ms)))


def timed(step, i):
    start = time.perf_counter()
    step(i)
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def line(args, ms):
    """The same keys as `enas bench` prints."""
    ordered = sorted(ms)
    median = ordered[len(ms) // 2]
    takes_images = args.mode != "controller-step"
    result = {
        "mode": args.mode,
        "median_ms": round(median, 3),
        "mean_ms": round(sum(ms) / len(ms), 3),
        "min_ms": round(ordered[0], 3),
        "p90_ms": round(ordered[9 * (len(ms) - 1) // 10], 3),
        "images_per_second": round(1e3 * args.batch / median, 3) if takes_images else None,
        "peak_rss_mb": peak_rss_mb(),
    }
    settings = "threads batch size channels filters layers cells pools aux keep_prob drop_path_keep aggregate fold"
    result |= {name: getattr(args, name) for name in (settings + " warmup iters seed").split()}
    result["torch"] = torch.__version__
    return result | ({"ms": [round(x, 3) for x in ms]} if args.raw else {})


def peak_rss_mb():
    """The most memory that this process ever held, in MiB, PyTorch itself included; unknown outside Linux."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    kib = next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM:"))
    return round(int(kib) / 1024, 1)


def check(args):
    # Only this command needs safetensors.
    import goldens

    goldens.check(args.folders, args.tolerance)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    timing = commands.add_parser("bench", help="time single steps; one line of JSON")
    timing.set_defaults(run=bench)
    timing.add_argument("--mode", required=True, choices=MODES)
    switch = {"type": int, "choices": (0, 1)}
    numbers = {
        "batch": (128, "images per step"),
        "size": (32, "height and width of the images"),
        "channels": (1, "channels of the images"),
        "filters": (20, "channels of the first cells"),
        "layers": (6, "normal cells"),
        "cells": (5, "nodes per cell"),
        "keep-prob": (0.9, "probability of keeping a feature before the classifier"),
        "drop-path-keep": (0.6, "probability of keeping a path in the last cell at the end"),
        "aggregate": (10, "architectures per controller update"),
        "threads": (2, "threads to compute with"),
        "warmup": (5, "untimed warm-up steps"),
        "iters": (20, "steps that are timed"),
        "seed": (0, "the seed of images, weights and samples"),
    }
    for name, (default, text) in numbers.items():
        timing.add_argument("--" + name, type=type(default), default=default, help=f"{text} [{default}]")
    timing.add_argument("--pools", type=int, choices=(2, 3), default=3, help="reduction cells [3]")
    timing.add_argument("--aux", default=1, help="auxiliary classifier [1]", **switch)
    timing.add_argument("--fold", default=0, help="fold batch norm into the weights before fixed-infer [0]", **switch)
    timing.add_argument("--raw", default=0, nargs="?", const=1, help="add the time of every step", **switch)
    timing.add_argument("--profile", default=0, nargs="?", const=1, help="operations, on stderr", **switch)
    timing.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N [cpu]")
    timing.add_argument("--arc", help="the architecture of fixed-step and fixed-infer")
    timing.add_argument("--arcs", help="a file with one architecture on each line, for search-step and reward-step")
    checking = commands.add_parser("check", help="compare with golden tensors; fails where they differ")
    checking.set_defaults(run=check)
    checking.add_argument("folders", nargs="+", metavar="FOLDER", help="for example crates/enas-child/goldens")
    checking.add_argument("--tolerance", type=float, default=1e-4, help="relative to the largest entry [1e-4]")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    chosen.run(chosen)
