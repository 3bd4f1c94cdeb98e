"""The flushes of the log itself."""

import bisect
import sys
from collections import defaultdict
from itertools import takewhile
from typing import NamedTuple

from .operation import Domain, UNRESOLVED
from .policy import Policy
from .ranges import RangeMap, joined, split


class Flush(NamedTuple):
    """A recorded flush: where it begins, and its last layer.

    What it covers is flushed at the time of that layer, t1 (design §4 10).
    """

    line: int
    last_line: int
    time: int
    domain: Domain
    covers: list | None  # ranges that neither overlap nor touch; None is the whole domain
    hardware_domain: int | None = None
    start: int = 0


def recorded_flushes(operations):
    """The flushes of a log: those at the API, or where it shows none the runs of IOTLB descriptors (design §4 4)."""
    return api_flushes(operations) or descriptor_runs(operations)


def api_flushes(operations):
    """Syncs and flush_alls as they happened. A sync covers its own range, a flush_all the whole domain."""
    return [Flush(operation.line, operation.last_layer.line, operation.last_layer.time, operation.domain,
                  None if operation.covers is None else joined([operation.covers]))
            for operation in operations if operation.kind in ("sync", "flush_all")]


def descriptor_runs(operations):
    """Descriptors of one CPU and task with one hardware domain id, until anything else happens on that CPU.

    A flush of a whole domain sends one descriptor to each unit, so the second to one unit belongs to another flush.
    Those after a context-cache invalidation belong to an attach and are left out.
    """
    runs, running, attaching = [], {}, set()
    for operation in operations:
        context = (operation.cpu, operation.task)
        if operation.kind == "cc_inv":
            attaching.add(context)
            running.pop(operation.cpu, None)
        elif operation.kind == "iotlb_inv":
            if context not in attaching:
                add_descriptor(runs, running, operation)
        elif operation.kind not in ("unmap", "unmap_fast") or operation.returned is not None:
            running.pop(operation.cpu, None)
            if operation.kind in ("map", "unmap", "unmap_fast"):
                attaching.discard(context)
    return [run_flush(run) for run in runs]


def add_descriptor(runs, running, operation):
    """Continue the run of the descriptor's CPU, or begin one."""
    run = running.get(operation.cpu)
    if run is None or run_key(run[0]) != run_key(operation) or (
            operation.covers is None and operation.unit in {descriptor.unit for descriptor in run}):
        run = running[operation.cpu] = []
        runs.append(run)
    run.append(operation)


def run_key(descriptor):
    return descriptor.task, descriptor.hardware_domain, descriptor.covers is None


def run_flush(run):
    first, last = run[0], run[-1]
    covers = None if first.covers is None else joined(descriptor.covers for descriptor in run)
    return Flush(first.line, last.line, last.time, first.domain, covers, first.hardware_domain, first.time)


class Recorded(Policy):
    """The flushes of the log. Each covers what opened before it begins, and closes that when its last layer is seen.

    Where no domain is known, a run that flushes a whole hardware domain need not have flushed that of the unmap: a
    window waits for all that may be its own, those whose next run comes within 100 ms of the unmap (design §4 10).
    """

    PATIENCE = 100 * 10**6

    def __init__(self, flushes):
        super().__init__()
        self.beginning = {flush.line: flush for flush in flushes}
        self.ending = sorted(flushes, key=lambda flush: -flush.last_line)
        self.stale = defaultdict(RangeMap)
        self.syncs = defaultdict(list)
        self.runs = defaultdict(list)  # by hardware domain: the runs that flush all of it
        for flush in flushes:
            if flush.hardware_domain is not None and flush.covers is None:
                self.runs[flush.hardware_domain].append(flush)
        self.awaited = {}

    def before(self, operation):
        self.end_flushes(operation.line)

    def end_flushes(self, line):
        """Close what the flushes cover whose last layer has been logged by now."""
        while self.ending and self.ending[-1].last_line <= line:
            flush = self.ending.pop()
            self.windows.close(flush.domain, flush.time, flush.covers, flush.last_line,
                               lambda call: self.covers(flush, call))

    def covers(self, flush, call):
        if call in self.awaited and flush.covers is None:
            return self.awaited[call].last_line <= flush.last_line
        return call.line < flush.line

    def unmap(self, call):
        self.stale[call.domain].put(*call.span())
        if call.domain is UNRESOLVED and (run := self.closing_run(call)):
            self.awaited[call] = run
        start, end = call.span()
        for low, high, flushed in split(start, end, joined(self.syncs_inside(call))):
            if not flushed:
                self.windows.opened(call, low, high)

    def closing_run(self, call):
        """The last of those next runs within reach; where none is, the next one at all."""
        following = [runs[place] for runs in self.runs.values()
                     if (place := bisect.bisect(runs, call.line, key=lambda run: run.line)) < len(runs)]
        near = [run for run in following if run.start <= call.time + self.PATIENCE]
        if near:
            return max(near, key=lambda run: run.last_line)
        return min(following, key=lambda run: run.last_line, default=None)

    def syncs_inside(self, call):
        """What the call's own CPU and task synced between its entry and its page-table clear."""
        recent = takewhile(lambda sync: sync.line > call.entered, reversed(self.syncs[call.cpu, call.task]))
        return [sync.covers or call.span() for sync in recent if sync.domain == call.domain]

    def other(self, operation):
        if operation.kind == "sync":
            self.syncs[operation.cpu, operation.task].append(operation)
        if flush := self.beginning.get(operation.line):
            self.flushes[flush.domain] += 1
            if flush.covers is None:
                self.stale.pop(flush.domain, None)
            else:
                for covered in flush.covers:
                    self.stale[flush.domain].remove(*covered)

    def finish(self, end):
        self.end_flushes(sys.maxsize)

    def pending(self):
        return {domain for domain, stale in self.stale.items() if stale}
