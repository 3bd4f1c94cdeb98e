"""Events to operations: calls and returns paired, flushes and their layers chained, domains and their generations."""

import re

from .events import FAULT, OTHER, PROBE, TRACEPOINT
from .operation import Domain, OpenCalls, Operation, UNRESOLVED


class Operations:
    """The operations of a log, in the order of the events that date them."""

    def __init__(self, log):
        forms = {(event.name, event.form) for event in log.events}
        self.logged_returns = {kind for kind in ("unmap", "unmap_fast") if (f"{kind}_ret", PROBE) in forms}
        self.logs_finished_maps = ("map", TRACEPOINT) in forms
        self.found = []
        self.calls, self.maps = OpenCalls(), OpenCalls()
        self.generations, self.freed = {}, set()
        self.device_domains = {}
        self.latest, self.flushing = {}, {}
        self.attempts = set()
        self.last_clear = {}
        self.attach_test = {}
        self.taken_back = {}
        for event in log.events:
            handler = self.HANDLERS.get((event.name, event.form))
            if handler not in (Operations.unmap_tracepoint, Operations.unmapped):
                self.last_clear.pop(event.cpu, None)
            self.follow_flush(event)
            if handler:
                handler(self, event)
        self.found.sort(key=lambda operation: operation.line)

    def add(self, event, kind, domain, **more):
        operation = Operation(event.line, event.time, event.cpu, event.task, kind, domain, entered=event.line, **more)
        self.found.append(operation)
        self.latest[event.cpu, event.task] = operation
        return operation

    def domain(self, pointer):
        return Domain(pointer, self.generations.setdefault(pointer, 0))

    # Maps

    def map_probe(self, event):
        operation = self.add(event, "map", self.domain(event.fields["domain"]), **span(event),
                             paddr=number(event, "paddr"), failed=self.logs_finished_maps)
        self.mapped(operation)
        if self.logs_finished_maps:
            self.maps.push(event, operation)

    def map_tracepoint(self, event):
        iova, size = span(event).values()
        if attempt := self.maps.find(event, lambda call: (call.iova, call.size) == (iova, size)):
            self.maps.close(attempt)
            attempt.failed = False
        elif attempt := self.maps.find(event, lambda call: call.iova == iova and call.size > size
                                       and call.task == event.task):
            self.maps.close(attempt)  # since 7.1 a map that fails says how far it came
            self.taken_back[event.cpu] = (event.task, iova, size)
        else:
            self.mapped(self.add(event, "map", UNRESOLVED, **span(event), paddr=number(event, "paddr")))

    # VFIO's test whether a driver splits superpages: a map of two pages, at once unmapped page by page (model.md §2.1).
    # It calls iommu_unmap, which a tracepoint alone does not tell from iommu_unmap_fast.

    def mapped(self, operation):
        pages = 2 if operation.size == 2 * 4096 else 0
        self.attach_test[operation.domain] = (operation.iova, pages)

    def unmapping(self, operation):
        iova, pages = self.attach_test.get(operation.domain, (None, 0))
        if pages and operation.kind == "unmap" and (operation.iova, operation.size) == (iova, 4096):
            operation.strict = True
            self.attach_test[operation.domain] = (iova + 4096, pages - 1)
        else:
            self.attach_test.pop(operation.domain, None)

    # Unmaps: entry, page-table clear, return

    def unmap_entry(self, event):
        operation = self.add(event, event.name, self.domain(event.fields["domain"]), **span(event),
                             queued=event.fields.get("queued") == 1)
        operation.undoes = self.undoes(event)
        self.unmapping(operation)
        self.calls.push(event, operation)

    def undoes(self, event):
        """Whether an unmap takes back what a failed map had mapped: behind its event, or inside a map that nothing confirms."""
        if self.taken_back.pop(event.cpu, None) == (event.task, *span(event).values()):
            return True
        stack = self.maps.stacks[event.cpu]
        inner = stack[-1] if stack and not self.calls.stacks[event.cpu] else None
        return (inner is not None and inner.task == event.task and inner.iova == event.fields["iova"]
                and inner.size > event.fields["size"])

    def unmapped(self, event):
        self.cleared(event, event.fields["unmapped"])

    def unmap_tracepoint(self, event):
        self.cleared(event, event.fields["unmapped_size"])

    def cleared(self, event, returned):
        """The tracepoint inside unmap, under its own name or as the event probe `unmapped`."""
        clear = (event.fields["iova"], event.fields["size"], returned)
        name_before, clear_before = self.last_clear.pop(event.cpu, (None, None))
        if clear_before == clear and name_before != event.name:  # the same clear under its other name
            return
        self.last_clear[event.cpu] = (event.name, clear)
        call = self.calls.find(event, lambda call: call.returned is None and (call.iova, call.size) == clear[:2])
        if call is None:
            call = self.add(event, "unmap", UNRESOLVED, **span(event))
            call.undoes = self.undoes(event)
            self.unmapping(call)
            if self.logged_returns:
                self.calls.push(event, call)
        call.date(event)
        call.returned = returned
        if call.kind not in self.logged_returns:
            self.calls.close(call)

    def unmap_return(self, event):
        kind, returned = event.name.removesuffix("_ret"), event.fields["unmapped"]
        call = self.calls.find(event, lambda call: self.returns_from(event, kind, call))
        if call is None:
            pointer = event.fields.get("domain")
            domain = UNRESOLVED if pointer is None else self.domain(pointer)
            call = self.add(event, kind, domain, **span(event))
        self.calls.close(call)
        caller = event.body.partition("<-")[0]
        call.undoes |= caller.startswith(("(iommu_map", "(__iommu_map"))
        if call.returned is None:
            call.unlinked = "dma_iova_unlink" in caller
        if returned >= 1 << 63:  # an error code in a size_t: the call never reached the page table (model.md §1.5)
            return
        if call.returned is None:
            call.returned = returned
            if kind == "unmap_fast":  # a strict unmap returns after its own sync, so there the entry is nearer
                call.date(event)
        call.kind = kind  # news where only the clear was recorded before

    @staticmethod
    def returns_from(event, kind, call):
        """A return probe of older kernels prints no arguments: then the innermost call of its kind returns."""
        if call.kind != kind and call.domain is not UNRESOLVED:
            return False
        return all(event.fields.get(key, value) == value for key, value in (("iova", call.iova), ("size", call.size)))

    # Flushes, domains, devices

    def sync(self, event):
        """A sync covers the gather's range, whose end is inclusive; an empty gather covers nothing."""
        start, end = number(event, "start"), number(event, "end")
        covers = None if start is None or end is None else (start, end + 1)
        self.flush(event, covers=covers)

    def flush_all(self, event):
        self.flush(event)

    def flush(self, event, **more):
        operation = self.add(event, event.name, self.domain(event.fields["domain"]), last_layer=event, **more)
        self.flushing[event.cpu, event.task] = operation

    def follow_flush(self, event):
        """A flush lasts until the last layer that its CPU and task log before they turn to another call (design §4 4)."""
        context = (event.cpu, event.task)
        if self.is_layer(event):
            if flush := self.flushing.get(context):
                flush.last_layer = event
        elif self.turns_away(event):
            self.flushing.pop(context, None)

    def turns_away(self, event):
        """Whether this is a call at the API, or the begin of a flush that belongs to an attach, a map or a queue."""
        if event.name in ("tracing_mark_write", "io_page_fault"):
            return False
        return event.name in self.OTHER_FLUSH or (event.name, event.form) in self.HANDLERS

    def is_layer(self, event):
        """Function probes, cache-tag events and descriptors; but a cc_inv begins an attach's flush."""
        if event.name == "qi_submit":
            return not event.body.startswith("cc_inv")
        if event.name == "tracing_mark_write" or self.turns_away(event):
            return False
        return event.form == PROBE or event.name.startswith("cache_tag_flush")

    def domain_alloc(self, event):
        pointer = event.fields["domain"]
        if pointer in self.freed:
            self.freed.discard(pointer)
            self.generations[pointer] += 1
        self.add(event, "domain_alloc", self.domain(pointer) if pointer else None)

    def domain_free(self, event):
        pointer = event.fields["domain"]
        self.add(event, "domain_free", self.domain(pointer))
        self.freed.add(pointer)

    def attach(self, event):
        domain, device = self.domain(event.fields["domain"]), event.fields.get("dev")
        self.device_domains[device] = domain
        self.attempts.add(("attach", event.task, device))
        self.add(event, "attach", domain, device=device)

    def detach(self, event):
        """Newer kernels name only the device, and detach one that has no domain too.

        There an attach begins with such a detach. The attach has moved the device already: this one leaves no domain.
        """
        pointer, device = event.fields.get("domain"), event.fields.get("dev")
        self.attempts.add(("detach", event.task, device))
        before = self.latest.get((event.cpu, event.task))
        if pointer is None and before and (before.kind, before.device) == ("attach", device):
            self.add(event, "detach", None, device=device)
            return
        known = self.device_domains.pop(device, None)
        self.add(event, "detach", known if pointer is None else self.domain(pointer), device=device)

    def device_tracepoint(self, event):
        kind = event.name.partition("_")[0]
        attempt = (kind, event.task, event.fields.get("device"))
        if attempt in self.attempts:  # the probe of the same call came before
            self.attempts.discard(attempt)
        else:
            self.add(event, kind, UNRESOLVED, device=event.fields.get("device"))

    # Everything else that policies look at

    def marker(self, event):
        self.add(event, "marker", None)

    def fault(self, event):
        if match := FAULT.match(event.body):
            self.add(event, "fault", None, device=match["device"], iova=int(match["iova"], 16))

    def descriptor(self, event):
        kind, _, words = event.body.partition(" ")
        if kind == "cc_inv":
            self.add(event, kind, None)
        elif kind == "iotlb_inv" and len(qw := re.findall(r"0x[0-9a-f]+", words)) >= 2:
            low, high = int(qw[0], 16), int(qw[1], 16)
            self.add(event, kind, UNRESOLVED, hardware_domain=low >> 16 & 0xFFFF, covers=descriptor_range(low, high),
                     unit=words.partition(":")[0])

    HANDLERS = {
        ("map", PROBE): map_probe,
        ("map", TRACEPOINT): map_tracepoint,
        ("unmap", PROBE): unmap_entry,
        ("unmap_fast", PROBE): unmap_entry,
        ("unmap", TRACEPOINT): unmap_tracepoint,
        ("unmapped", PROBE): unmapped,
        ("unmap_ret", PROBE): unmap_return,
        ("unmap_fast_ret", PROBE): unmap_return,
        ("sync", PROBE): sync,
        ("flush_all", PROBE): flush_all,
        ("domain_alloc", PROBE): domain_alloc,
        ("domain_free", PROBE): domain_free,
        ("attach", PROBE): attach,
        ("detach", PROBE): detach,
        ("attach_device_to_domain", TRACEPOINT): device_tracepoint,
        ("detach_device_from_domain", TRACEPOINT): device_tracepoint,
        ("io_page_fault", TRACEPOINT): fault,
        ("tracing_mark_write", OTHER): marker,
        ("tracing_mark_write", PROBE): marker,  # a marker's text is anybody's and may begin like a probe
        ("tracing_mark_write", TRACEPOINT): marker,
        ("qi_submit", OTHER): descriptor,
    }
    OTHER_FLUSH = {"fq_flush", "fq_timeout", "sync_map", "cache_tag_flush_range_np"}


def number(event, name):
    value = event.fields.get(name)
    return value if isinstance(value, int) else None


def span(event):
    """What was asked; a return probe of older kernels does not print it."""
    return {"iova": event.fields.get("iova", 0), "size": event.fields.get("size", 0)}


def descriptor_range(low, high):
    """What a VT-d IOTLB descriptor covers: granularity 3 is 2^mask pages, anything else at least the domain."""
    if low >> 4 & 3 != 3:
        return None
    size = 4096 << (high & 0x3F)
    start = high & ~0xFFF & ~(size - 1)
    return start, start + size
