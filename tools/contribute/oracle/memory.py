"""What is the same under all policies: who has which page, who has which device."""

from collections import defaultdict

from .operation import UNRESOLVED
from .ranges import RangeMap, split


class Memory:
    """Walks the operations and notes at each what windows and hazards need to know about it (design §4 12, 13).

    A claim of a map is a list of (kind, unmap call, address there, size): the pages that it maps are those that the
    call removed at that address. The first of the list whose window is still open there says what the reuse is.
    """

    def __init__(self, log, operations):
        self.log = log
        self.live = defaultdict(RangeMap)  # by domain, at an address: the map
        self.mapped = defaultdict(RangeMap)  # by domain, at a physical address: how many times it is mapped
        self.removed = defaultdict(RangeMap)  # by domain, at an address: the call that removed it last
        self.removed_pages = defaultdict(RangeMap)  # by domain, at a physical address: that call, and how far from it
        self.devices = {}
        self.shows_attach = any(operation.kind == "attach" and operation.domain != UNRESOLVED and operation.device
                                for operation in operations)
        self.allocated = {operation.domain for operation in operations if operation.kind == "domain_alloc"}
        self.seen_attached = set()
        self.operations = operations

    def walk(self):
        for operation in self.operations:
            self.see(operation)

    def see(self, operation):
        if operation.returned is not None:
            operation.detached = not self.has_device(operation.domain)
            self.unmap(operation)
        elif operation.kind == "map" and not operation.failed:
            operation.claims = [*self.by_address(operation), *self.by_page(operation)]
            self.map(operation)
        elif operation.kind == "domain_free":
            for table in (self.live, self.mapped, self.removed, self.removed_pages):
                table.pop(operation.domain, None)
        elif operation.kind in ("attach", "detach"):
            self.move(operation)
        elif operation.kind == "fault":
            domain = self.devices.get(operation.device, UNRESOLVED)
            operation.domain = None if domain == UNRESOLVED else domain

    # Devices

    def has_device(self, domain):
        """An attach that names no domain tells of none that it has a device, and of none that it has not.

        A domain that was there before the recording has one until the log knows better.
        """
        was_there = self.allocated and domain not in self.allocated and domain not in self.seen_attached
        return not self.shows_attach or domain == UNRESOLVED or was_there or domain in self.devices.values()

    def move(self, operation):
        """Put a device into a domain or take it out. One without a name is a device of that domain alone."""
        device = operation.domain if operation.device is None else operation.device
        old = self.devices.get(device)
        if operation.kind == "attach":
            self.devices[device] = operation.domain
            self.seen_attached.add(operation.domain)
        elif old == operation.domain:
            self.devices.pop(device, None)
        if old and not self.has_device(old):
            operation.emptied = old

    # Pages

    def map(self, operation):
        start, end = operation.span()
        replaced = self.live[operation.domain].put(start, end, operation)
        self.unmapped_pages(operation.domain, replaced)
        if operation.paddr is not None:
            self.count(operation.domain, operation.paddr, operation.paddr + operation.size, 1)

    def unmap(self, call):
        """Note each page that the call removed. Which one it was is known where its map was seen and no loss since."""
        start, end = call.span()
        removed = self.live[call.domain].remove(start, end)
        self.unmapped_pages(call.domain, removed)
        self.removed[call.domain].put(start, end, (call, None))
        for low, high, mapping in removed:
            if mapping.paddr is not None and not self.log.lost_between(mapping.line, call.line):
                shift = mapping.paddr - mapping.iova
                self.removed[call.domain].put(low, high, (call, shift))
                self.removed_pages[call.domain].put(low + shift, high + shift, (call, shift))

    def unmapped_pages(self, domain, removed):
        for low, high, mapping in removed:
            if mapping.paddr is not None:
                shift = mapping.paddr - mapping.iova
                self.count(domain, low + shift, high + shift, -1)

    def count(self, domain, start, end, step):
        table = self.mapped[domain]
        counted = table.within(start, end)
        gaps = [(low, high, 0) for low, high, inside in split(start, end, [part[:2] for part in counted]) if not inside]
        for low, high, times in counted + gaps:
            if times + step > 0:
                table.put(low, high, times + step)
            else:
                table.remove(low, high)

    # What a map reuses

    def by_address(self, operation):
        for low, high, (call, shift) in self.removed[operation.domain].within(*operation.span()):
            if shift is None or operation.paddr is None:
                kind = "unknown_page"
            else:
                kind = "same_page_remap" if shift == operation.paddr - operation.iova else "hazards_iova_reuse"
            yield [(self.certain(kind, call, operation), call, low, high - low)]

    def by_page(self, operation):
        if operation.paddr is None:
            return
        start, end = operation.paddr, operation.paddr + operation.size
        found = [part for table in self.removed_pages.values() for part in table.within(start, end)]
        if not found:
            return
        live = self.mapped[operation.domain].within(start, end)
        cuts = sorted({cut for low, high, _ in found + live for cut in (low, high)})
        for low, high in zip(cuts, cuts[1:]):
            was_live = any(part[0] <= low < part[1] for part in live)
            calls = [value for part_start, part_end, value in found if part_start <= low < part_end]
            others = [value for value in calls if value[0].domain != operation.domain and not was_live]
            same = [value for value in calls if value[0].domain == operation.domain]
            others.sort(key=lambda value: -value[0].line)
            claim = [(self.certain(kind, call, operation), call, low - shift, high - low)
                     for kind, values in (("hazards_page_reuse", others), ("recycled", same)) for call, shift in values]
            if claim:
                yield claim

    def certain(self, kind, call, operation):
        return "uncertain_reuse" if self.log.lost_between(call.line, operation.line) else kind
