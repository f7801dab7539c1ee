"""Reads a run directory with TensorBoard's own code and compares it with metrics.jsonl, number by number.

Usage: python tensorboard_check.py RUN_DIRECTORY

Needs the package tensorboard and nothing else. Prints what was compared; exits with 1 at the first difference.
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator

OPERATIONS = ["sep-conv-3x3", "sep-conv-5x5", "avg-pool-3x3", "max-pool-3x3", "identity"]


def numbers(tag, value):
    """The scalars in a value of a metrics line, with their tags."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        yield tag, float(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(f"{tag}/{key}", inner)
    elif all(isinstance(item, list) for item in value):
        for cell, shares in zip(["normal", "reduction"], value, strict=True):
            for operation, share in zip(OPERATIONS, shares, strict=True):
                yield f"{tag}/{cell}/{operation}", float(share)
    elif any(isinstance(item, list) for item in value):
        sys.exit(f"{tag}: neither shares of operations nor a plain list: {value}")


def expected(run):
    """Every tag of the log with its values in order."""
    tags = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        event = json.loads(line)
        group = event["kind"] + (f"/{event['origin']}" if "origin" in event else "")
        for key, value in event.items():
            if key not in ("t", "kind", "epoch", "step"):
                for tag, number in numbers(f"{group}/{key}", value):
                    tags.setdefault(tag, []).append(number)
    return tags


def main():
    run = pathlib.Path(sys.argv[1])
    accumulator = event_accumulator.EventAccumulator(str(run), size_guidance={event_accumulator.SCALARS: 0})
    accumulator.Reload()
    found = set(accumulator.Tags()["scalars"])
    tags = expected(run)
    if not tags:
        sys.exit(f"{run}: metrics.jsonl holds no numbers")
    if found != set(tags):
        sys.exit(f"{run}: tags differ: {sorted(found ^ set(tags))}")
    total = 0
    for tag, values in sorted(tags.items()):
        events = accumulator.Scalars(tag)
        steps = [event.step for event in events]
        if steps != sorted(set(steps)):
            sys.exit(f"{tag}: the steps do not rise: {steps}")
        if len(events) != len(values):
            sys.exit(f"{tag}: {len(events)} values, but the log has {len(values)}")
        for event, value in zip(events, values, strict=True):
            if not math.isclose(event.value, value, rel_tol=1e-6, abs_tol=1e-9):
                sys.exit(f"{tag}, step {event.step}: {event.value}, but the log has {value}")
        total += len(values)
    print(f"tensorboard: {len(tags)} tags with {total} values agree with metrics.jsonl")


if __name__ == "__main__":
    main()
