"""The kernel's flush queue."""

from collections import Counter, defaultdict

from .policy import Timed


class Queue(Timed):
    """The kernel's flush queue (model.md §2.4).

    A flush empties every ring of the domain; the timer fires regardless.
    """

    WITHHOLDS = True

    def __init__(self, entries, timeout, hz, per_cpu):
        super().__init__()
        self.usable = entries - 1
        self.hz = hz
        self.ticks = -(-timeout * hz // 10**9)
        self.per_cpu = per_cpu
        self.rings = defaultdict(Counter)

    def unmap(self, call):
        if call.immediate:
            self.flushes[call.domain] += 1
            return
        rings = self.rings[call.domain]
        ring = call.cpu if self.per_cpu else 0
        if rings[ring] >= self.usable:
            self.flush(call.domain, call.time)
        rings[ring] += 1
        self.windows.opened(call, *call.span())
        self.due.setdefault(call.domain, self.expiry(call.time))

    def expiry(self, now):
        """When the timer wheel fires. A tick need not be a whole number of nanoseconds: the first one not before."""
        level = sum(self.ticks >= limit for limit in (63, 504, 4032))
        granularity = 8 ** level
        expires = now * self.hz // 10**9 + self.ticks
        return -(-(expires // granularity + 1) * granularity * 10**9 // self.hz)

    def flush(self, domain, time):
        super().flush(domain, time)
        self.rings[domain].clear()

    def other(self, operation):
        if operation.kind == "domain_free":
            self.due.pop(operation.domain, None)
            self.rings.pop(operation.domain, None)

    def pending(self):
        return set(self.due) | {domain for domain, rings in self.rings.items() if rings}
