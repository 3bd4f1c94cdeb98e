"""What events become: domains, operations, and the calls that are open while a log is read."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from .events import Event

KINDS = ("map", "unmap", "unmap_fast", "sync", "flush_all", "attach", "detach", "domain_alloc", "domain_free")


class Domain(NamedTuple):
    """Kernels reuse a freed domain's pointer at once: the generation counts the lives of one pointer."""

    pointer: int | None
    generation: int = 0

    def __str__(self):
        return "unresolved" if self.pointer is None else f"{self.pointer:#x}#{self.generation}"


UNRESOLVED = Domain(None)


@dataclass(slots=True, eq=False)
class Operation:
    """One call at the API, a marker, a fault, or a hardware descriptor (kind `iotlb_inv` or `cc_inv`).

    Line, time and CPU are those of the event that dates the operation; `entered` is the line of its first event. For
    an unmap, `size` is what was asked and `returned` what came back; None means that no return was seen, and then it
    is no unmap call (design §4 1). What `Memory` finds out stands in the last three fields.
    """

    line: int
    time: int
    cpu: int
    task: int
    kind: str
    domain: Domain | None
    iova: int = 0
    size: int = 0
    returned: int | None = None
    strict: bool = False
    queued: bool = False
    covers: tuple | None = None  # of a sync or descriptor: start and exclusive end; None is the whole domain
    hardware_domain: int | None = None
    unit: str = ""
    entered: int = 0
    paddr: int | None = None
    failed: bool = False  # of a map: an attempt that no event confirms, in a log that confirms maps
    device: str | None = None
    last_layer: Event | None = None  # of a flush at the API
    unlinked: bool = False  # of an unmap: dma_iova_unlink called it
    immediate: bool = False  # of an unmap: its caller syncs right after it, whatever the policy of the domain
    undoes: bool = False  # of an unmap: it takes back what a failed map had mapped
    detached: bool = False  # of an unmap: its domain has no device
    emptied: Domain | None = None  # of an attach or detach: the domain whose last device leaves
    claims: tuple = ()  # of a map: what it reuses, if that is still stale

    def span(self):
        return self.iova, self.iova + (self.size if self.returned is None else self.returned)

    def date(self, event):
        self.line, self.time, self.cpu = event.line, event.time, event.cpu


class OpenCalls:
    """Calls that were entered and not left: a stack per CPU, because interrupts nest."""

    def __init__(self):
        self.stacks = defaultdict(list)

    def push(self, event, operation):
        self.stacks[event.cpu].append(operation)

    def find(self, event, matches):
        """The innermost match on the event's CPU, else that of the same task on another: it may have migrated."""
        for operation in reversed(self.stacks[event.cpu]):
            if matches(operation):
                return operation
        if event.task == 0:  # each CPU has its own idle task, and none of them migrates
            return None
        for cpu, stack in self.stacks.items():
            for operation in reversed(stack):
                if cpu != event.cpu and operation.task == event.task and matches(operation):
                    return operation
        return None

    def close(self, closed):
        """Remove a call, and what its task entered inside it and never left: that call's return was not recorded."""
        for stack in self.stacks.values():
            if closed in stack:
                inside = stack.index(closed)
                stack[inside:] = [call for call in stack[inside + 1:] if call.task != closed.task]
