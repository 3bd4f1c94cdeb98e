"""Stale windows, and what happens in them."""

import sys
from collections import Counter, defaultdict
from itertools import accumulate

from .columns import HAZARDS
from .ranges import RangeMap, split


class Windows:
    """The windows of one policy (design §4 10, 11), and what happens in them (design §4 13).

    Of a call, the address ranges are kept whose windows are open. `line` is where in the log the policy is: a window
    is uncertain if a loss is announced between the line where it opened and the one where it ends.
    """

    def __init__(self, log):
        self.log = log
        self.line = 0
        self.open = defaultdict(dict)
        self.closed = defaultdict(list)
        self.numbers = defaultdict(Counter)
        self.changes = defaultdict(Counter)

    def opened(self, call, start, end):
        if start < end and not call.detached and not call.undoes:
            self.open[call.domain].setdefault(call, []).append((start, end))
            self.changes[call.domain][call.time] += end - start

    def close(self, domain, time, covers=None, line=None, chosen=lambda call: True):
        """End the windows of a domain, or what `covers` covers of those of the calls that are chosen."""
        for call in [call for call in self.open[domain] if chosen(call)]:
            ranges = self.open[domain].pop(call)
            left = []
            for start, end in ranges:
                for low, high, ends in split(start, end, [(start, end)] if covers is None else covers):
                    if ends:
                        self.ended(call, high - low, time, self.line if line is None else line)
                    else:
                        left.append((low, high))
            if left:
                self.open[domain][call] = left

    def ended(self, call, size, time, line):
        length = max(0, time - call.time)
        self.changes[call.domain][call.time + length] -= size
        if self.log.lost_between(call.line, line):
            self.numbers[call.domain]["uncertain"] += 1
        else:
            self.closed[call.domain].append((length, size))

    def finish(self, end):
        """What is open when the last event happens, at `end`, is censored."""
        for domain, calls in self.open.items():
            for call, ranges in calls.items():
                if self.log.lost_between(call.line, sys.maxsize):
                    self.numbers[domain]["uncertain"] += len(ranges)
                    continue
                size = sum(end - start for start, end in ranges)
                self.numbers[domain]["censored"] += len(ranges)
                self.numbers[domain]["censored_byte_time"] += size * max(0, end - call.time)

    # Hazards

    def stale(self, call, start, end):
        """Which parts of a range that the call removed are in open windows."""
        return [(low, high) for low, high, inside in split(start, end, self.open[call.domain].get(call, ())) if inside]

    def reuse(self, claim, kinds):
        """Count a reuse in the domain whose window it is in. `kinds` renames what a policy calls otherwise."""
        size = claim[0][3]
        left = RangeMap()
        left.put(0, size)
        for kind, call, address, _ in claim:
            for low, high in self.stale(call, address, address + size):
                taken = left.remove(low - address, high - address)
                self.numbers[call.domain][kinds.get(kind, kind)] += sum(end - start for start, end, _ in taken)

    def fault(self, operation):
        """A fault counts for the window that opened last where it happened, if only one domain can be meant."""
        domains = [operation.domain] if operation.domain else list(self.open)
        found = [call for domain in domains for call in self.open[domain]
                 if self.stale(call, operation.iova, operation.iova + 1)]
        if len({call.domain for call in found}) == 1:
            call = max(found, key=lambda call: call.line)
            uncertain = self.log.lost_between(call.line, operation.line)
            self.numbers[call.domain]["uncertain_reuse" if uncertain else "hazards_access"] += 4096

    # Results

    def row(self, domains, unreachable):
        """The numbers of some domains together. Hazards and stale memory are counted in bytes until here."""
        closed = sorted(window for domain in domains for window in self.closed[domain])
        numbers, changes = Counter(), Counter()
        for domain in domains:
            numbers.update(self.numbers[domain])
            changes.update(self.changes[domain])
        each = [(length, 1) for length, _ in closed]
        seconds = 4096 * 10**9
        return {
            "windows": len(closed),
            "censored": numbers["censored"],
            "uncertain": numbers["uncertain"],
            "unreachable_pages": unreachable // 4096,
            "p50_ns": percentile(each, 50),
            "p90_ns": percentile(each, 90),
            "p99_ns": percentile(each, 99),
            "max_ns": closed[-1][0] if closed else None,
            "page_p50_ns": percentile(closed, 50),
            "page_p99_ns": percentile(closed, 99),
            "exposure_page_seconds": sum(length * size for length, size in closed) / seconds,
            "censored_page_seconds": numbers["censored_byte_time"] / seconds,
            "peak_stale_pages": max(accumulate((changes[time] for time in sorted(changes)), initial=0)) // 4096,
            **{kind: numbers[kind] // 4096 for kind in HAZARDS},
        }


def percentile(weighed, percent):
    """By nearest rank: the shortest length that at least `percent` % of the weight do not exceed; input is sorted."""
    wanted = percent * sum(weight for _, weight in weighed)
    reached = 0
    for length, weight in weighed:
        reached += weight
        if 100 * reached >= wanted:
            return length
    return None
