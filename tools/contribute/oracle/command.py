"""The command line."""

import argparse
import json
import sys

from .comparing import compare_log
from .count import count_log
from .named import at_least, make_policy, page_sizes
from .printing import print_count

POLICIES = ("per-page", "sync", "recorded", "vfio", "batch=64", "batch=512", "queue=256,10ms", "queue=16,1ms",
            "single-queue=32768,1s", "every=10ms", "end")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Count independently what iommu-trace reports about a log.")
    parser.add_argument("logs", metavar="LOG", nargs="+", help="ftrace text, plain or gzip")
    parser.add_argument("--compare", metavar="TOOL", help="import and replay each LOG with TOOL and compare")
    parser.add_argument("--policy", action="append", metavar="P", help="repeatable; default: " + " ".join(POLICIES))
    parser.add_argument("--hz", type=int, help="ticks a second of the recorded kernel (250)")
    parser.add_argument("--page-sizes", metavar="LIST", help="such as 4K,2M,1G (the default), or all")
    parser.add_argument("--json", action="store_true", help="print an array with one object per log")
    options = parser.parse_args()
    options.passed_on = [word for name, value in (("--hz", options.hz), ("--page-sizes", options.page_sizes))
                         if value is not None for word in (name, str(value))]
    options.policy = options.policy or list(POLICIES)
    try:
        options.hz = at_least(1, 250 if options.hz is None else options.hz)
        options.page_sizes = page_sizes(options.page_sizes or "4K,2M,1G")
        for text in options.policy:
            make_policy(text, [], options)
    except ValueError as error:
        parser.error(str(error))
    return options


def main():
    options = parse_arguments()
    if options.compare:
        agreed = [compare_log(options.compare, log, options) for log in options.logs]
        return 0 if all(agreed) else 1
    counts = [count_log(log, options) for log in options.logs]
    if options.json:
        json.dump(counts, sys.stdout, indent=2)
        print()
    else:
        for count in counts:
            print_count(count)
    return 0
