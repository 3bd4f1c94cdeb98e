"""How VFIO unmaps a guest's memory."""

from dataclasses import dataclass

from .pages import callbacks
from .policy import Policy


def last_of_runs(operations):
    """The calls after which VFIO's unmapping stops, as what follows them shows (design §4 7)."""
    ending = {"map", "attach", "detach", "domain_alloc", "domain_free", "marker"}  # by the run's own task
    touching = {"map", "attach", "domain_free"}  # of the run's domain, by anyone
    running, last = {}, set()  # running: by domain, the latest call and what the run has unmapped
    for operation in operations:
        kind, domain = operation.kind, operation.domain
        is_call = operation.returned is not None
        for other, (call, low, high) in list(running.items()):
            same_task, same_domain = call.task == operation.task, other == domain
            if is_call:
                unfit = operation.strict or operation.returned == 0 or operation.iova > high or operation.span()[1] < low
                ends = same_task != same_domain or same_domain and unfit
            else:
                ends = same_task and kind in ending or same_domain and kind in touching
            if ends:
                last.add(running.pop(other)[0])
        if is_call and not operation.strict and operation.returned:
            start, end = operation.span()
            _, low, high = running.get(domain, (None, start, end))
            running[domain] = operation, min(low, start), max(high, end)
    return last


@dataclass
class Run:
    """One task's unbroken unmapping in a domain, and its gather: `bytes` of each callback in it, 0 while empty."""

    next: int
    calls: int = 0
    bytes: int = 0
    start: int = 0
    end: int = 0
    page: int = 0

    def fits(self, length, page, gather):
        if not self.bytes or gather == "anything":
            return True
        alike = self.page == page if gather == "pages" else self.bytes == length
        return alike and self.next + length >= self.start and self.next <= self.end

    def gather(self, length, page):
        self.page = page
        start, end = self.next, self.next + length
        self.start, self.end = (min(self.start, start), max(self.end, end)) if self.bytes else (start, end)
        self.bytes = length
        self.next = end


class Vfio(Policy):
    """VFIO's fast unmapping (model.md §2.1) over the gather of the recorded driver (model.md §1.6, §4.4).

    It syncs what is left of a run right after its last call, however long it takes until something else happens.
    """

    LIMIT = 512

    def __init__(self, operations, page_sizes, driver):
        super().__init__()
        self.page_sizes, self.driver = page_sizes, driver
        self.last_calls = last_of_runs(operations)
        self.runs = {}

    def unmap(self, call):
        if call.strict:
            self.flush(call.domain, call.time)
        elif call.returned:  # VFIO takes an empty unmap for the end of what is mapped
            self.unmap_fast(call, self.runs.setdefault(call.domain, Run(call.iova)))

    def unmap_fast(self, call, run):
        start, end = call.span()
        run.next = start
        for page, count in callbacks(call.iova, call.returned, self.page_sizes):
            if not run.fits(page * count, page, self.driver.gather):
                self.sync(call, run)
                start = run.next  # what this call removed before is flushed inside it
            run.gather(page * count, page)
        self.windows.opened(call, start, end)
        run.calls += 1
        if run.calls == self.LIMIT or call in self.last_calls:
            self.sync(call, run)
            run.calls = 0
        if call in self.last_calls:
            del self.runs[call.domain]

    def sync(self, call, run):
        if run.bytes:
            self.flush(call.domain, call.time)
            run.bytes = 0

    def pending(self):
        return {domain for domain, run in self.runs.items() if run.bytes}
