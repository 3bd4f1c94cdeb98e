"""Policies, durations and page sizes from what is typed."""

import re
from fractions import Fraction

from .driver import Driver
from .flush_queue import Queue
from .policy import Batch, End, Every, PerPage, Sync
from .recorded import Recorded, recorded_flushes
from .vfio import Vfio

NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


def make_policy(text, operations, options, driver=Driver()):
    """The policy that a name such as `queue=256,10ms` stands for; ValueError if it stands for none."""
    name, _, arguments = text.partition("=")
    values = arguments.split(",") if arguments else []
    match name, values:
        case "per-page", []:
            return PerPage(options.page_sizes, driver)
        case "sync", []:
            return Sync()
        case "recorded", []:
            return Recorded(recorded_flushes(operations))
        case "vfio", []:
            return Vfio(operations, options.page_sizes, driver)
        case "end", []:
            return End()
        case "batch", [size]:
            return Batch(at_least(1, int(size)))
        case "every", [period]:
            return Every(at_least(1, duration(period)))
        case "queue" | "single-queue", [entries, timeout]:
            return Queue(at_least(2, int(entries)), at_least(1, duration(timeout)), options.hz, name == "queue")
    raise ValueError(f"unknown policy: {text}")


def at_least(least, value):
    if value < least:
        raise ValueError(f"must be at least {least}: {value}")
    return value


def duration(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s)", text)
    if not match:
        raise ValueError(f"no duration: {text}")
    exact = Fraction(match[1]) * NANOSECONDS[match[2]]
    if exact.denominator != 1:
        raise ValueError(f"no whole number of nanoseconds: {text}")
    return int(exact)


def page_sizes(text):
    if text == "all":
        return [1 << bit for bit in range(12, 64)]
    sizes = []
    for word in text.split(","):
        match = re.fullmatch(r"(\d+)([KMGT]?)", word)
        size = int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2]] if match else 0
        if size == 0 or size & (size - 1):
            raise ValueError(f"no page size: {word}")
        sizes.append(size)
    return sorted(set(sizes))
