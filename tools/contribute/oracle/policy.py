"""Policies: when flushes happen. The base of all, and the plain ones."""

from collections import Counter

from .pages import count_pages


class Policy:
    """Counts flushes per domain, and opens and closes the windows between them.

    `before` sees each operation first, then `unmap` each unmap call and `other` each operation else, all in log order.
    """

    WITHHOLDS = False  # whether its allocator keeps an address back until the flush (design §4 13)

    def __init__(self):
        self.name, self.windows = None, None  # set for a replay
        self.flushes = Counter()

    def flush(self, domain, time):
        self.flushes[domain] += 1
        self.windows.close(domain, time)

    def before(self, operation):
        pass

    def unmap(self, call):
        raise NotImplementedError

    def other(self, operation):
        pass

    def finish(self, end):
        """The log's last event was at `end`. No flush happens because a log ends, but a timer may be due by then."""

    def pending(self):
        """The domains that wait for a flush."""
        return set()


class PerPage(Policy):
    def __init__(self, page_sizes, driver):
        super().__init__()
        self.page_sizes, self.driver = page_sizes, driver

    def unmap(self, call):
        count = int(call.size > 0) if self.driver.takes_calls else count_pages(call, self.page_sizes)
        self.flushes[call.domain] += count


class Sync(Policy):
    def unmap(self, call):
        self.flushes[call.domain] += 1


class Batch(Policy):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.waiting = Counter()

    def unmap(self, call):
        self.waiting[call.domain] += 1
        self.windows.opened(call, *call.span())
        if self.waiting[call.domain] == self.size:
            self.flush(call.domain, call.time)
            del self.waiting[call.domain]

    def other(self, operation):
        if operation.kind == "domain_free":
            self.waiting.pop(operation.domain, None)

    def pending(self):
        return set(self.waiting)


class Timed(Policy):
    """Flushes when a domain's timer is due: seen late, at the next operation that cares, but dated when it was due."""

    CARING = {"map", "unmap", "unmap_fast", "attach", "detach", "domain_free", "fault"}  # design §4 8

    def __init__(self):
        super().__init__()
        self.due = {}

    def before(self, operation):
        if operation.kind in self.CARING:
            self.fire(operation.time)

    def fire(self, now):
        for domain in [domain for domain, due in self.due.items() if due <= now]:
            self.flush(domain, self.due.pop(domain))

    def finish(self, end):
        self.fire(end)

    def pending(self):
        return set(self.due)


class Every(Timed):
    """A flush at a fixed time after the first pending call."""

    def __init__(self, period):
        super().__init__()
        self.period = period

    def unmap(self, call):
        self.windows.opened(call, *call.span())
        self.due.setdefault(call.domain, call.time + self.period)

    def other(self, operation):
        if operation.kind == "domain_free":
            self.due.pop(operation.domain, None)


class End(Policy):
    """One flush_all as the domain is freed, whether or not anything is pending in it."""

    def __init__(self):
        super().__init__()
        self.waiting = set()

    def unmap(self, call):
        self.waiting.add(call.domain)
        self.windows.opened(call, *call.span())

    def other(self, operation):
        if operation.kind == "domain_free" and operation.domain not in self.flushes:
            self.flush(operation.domain, operation.time)
            self.waiting.discard(operation.domain)

    def pending(self):
        return self.waiting
