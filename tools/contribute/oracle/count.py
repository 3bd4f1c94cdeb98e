"""The count of one log: everything that this program knows about it, as plain values."""

import sys
from collections import Counter

from .driver import mark_immediate, recorded_driver
from .events import read_log
from .memory import Memory
from .named import make_policy
from .operation import KINDS
from .reading import Operations
from .recorded import descriptor_runs, recorded_flushes
from .windows import Windows


def count_log(path, options):
    """Everything that this program knows about a log, as plain values."""
    log = read_log(path)
    operations = Operations(log).found
    Memory(log, operations).walk()
    driver = recorded_driver(path, log)
    mark_immediate(operations, driver)
    calls = [operation for operation in operations if operation.returned is not None]
    kinds = Counter(operation.kind for operation in operations)
    domains = list(dict.fromkeys(operation.domain for operation in operations
                                 if operation.domain and operation.kind in KINDS))
    deferred = deferred_domains(operations)
    replays = [replay(text, log, operations, deferred, options, driver) for text in options.policy]
    return {
        "log": str(path),
        "damaged_lines": log.damaged_lines,
        "lost_events": log.lost_events,
        "events": dict(sorted(log.names().items())),
        "operations": {kind: kinds[kind] for kind in KINDS},
        "unmap_calls": len(calls),
        "deferred": is_deferred(operations),
        "domains": [str(domain) for domain in domains],
        "savings": [row for policy in replays for row in savings(policy, calls, domains)],
        "windows": [row for policy in replays for row in windows(policy, calls, domains)],
    }


def replay(text, log, operations, deferred, options, driver):
    """Walk the log once with a policy. It sees each operation before what happens in windows then is counted."""
    policy = make_policy(text, operations, options, driver)
    policy.name = text
    policy.windows = Windows(log)
    for operation in operations:
        policy.windows.line = operation.line
        policy.before(operation)
        if operation.returned is not None:
            policy.unmap(operation)
        elif operation.kind not in ("unmap", "unmap_fast"):
            policy.other(operation)
            see_windows(policy, operation, deferred)
    policy.windows.line = sys.maxsize
    end = log.end()
    policy.finish(end)
    policy.windows.finish(end)
    return policy


def see_windows(policy, operation, deferred):
    """Windows end with a domain's last device and with the domain (design §4 12); maps and faults fall into them."""
    if operation.emptied:
        policy.windows.close(operation.emptied, operation.time)
    if operation.kind == "domain_free":
        policy.windows.close(operation.domain, operation.time)
    elif operation.kind == "fault":
        policy.windows.fault(operation)
    kinds = {}
    if policy.WITHHOLDS:
        kinds["hazards_iova_reuse"] = "model_timing_error" if operation.domain in deferred else "deferred_reuse"
    for claim in operation.claims:
        policy.windows.reuse(claim, kinds)


def savings(policy, calls, domains):
    """One row for the whole trace, then one for each domain."""
    unmap_calls, unmapped_bytes = Counter(), Counter()
    for call in calls:
        unmap_calls[call.domain] += 1
        unmapped_bytes[call.domain] += call.returned
    pending = policy.pending()
    yield savings_row(policy.name, None, unmap_calls.total(), unmapped_bytes.total(), policy.flushes.total(),
                      len(pending))
    for domain in dict.fromkeys([*domains, *policy.flushes]):
        yield savings_row(policy.name, str(domain), unmap_calls[domain], unmapped_bytes[domain],
                          policy.flushes[domain], int(domain in pending))


def savings_row(policy, domain, unmap_calls, unmapped_bytes, flushes, pending):
    return {"policy": policy, "domain": domain, "unmap_calls": unmap_calls, "pages_unmapped": unmapped_bytes // 4096,
            "flushes": flushes, "flushes_pending": pending}


def windows(policy, calls, domains):
    """One row for the whole trace, then one for each domain."""
    unreachable = Counter()
    for call in calls:
        if call.detached:
            unreachable[call.domain] += call.returned
    for name, some in [(None, domains), *((str(domain), [domain]) for domain in domains)]:
        bytes_unreachable = sum(unreachable[domain] for domain in some)
        yield {"policy": policy.name, "domain": name, **policy.windows.row(some, bytes_unreachable)}


def deferred_domains(operations):
    """The domains whose mode is deferred (design §4 2): not strict, and queued or flushed later."""
    calls, followed, waiting = Counter(), Counter(), {}
    queued, flushed = set(), {flush.domain for flush in recorded_flushes(operations)}
    for operation in operations:
        if operation.returned is not None:
            context = (operation.domain, operation.cpu)
            calls[context] += 1
            waiting[context] = operation
            if operation.queued:
                queued.add(operation.domain)
        elif operation.kind in ("sync", "iotlb_inv"):
            for context in [context for context, call in waiting.items() if follows(operation, call)]:
                followed[context] += 1
                del waiting[context]
    late = {domain for domain, cpu in calls if 100 * followed[domain, cpu] < 99 * calls[domain, cpu]}
    return late & (queued | flushed)


def follows(flush, call):
    """Whether this is a sync of the call's domain, or a descriptor of it that covers what the call removed."""
    if flush.domain != call.domain or flush.kind == "sync" or flush.covers is None:
        return flush.domain == call.domain
    start, end = call.span()
    return flush.covers[0] <= start and end <= flush.covers[1]


def is_deferred(operations):
    """Whether the log shows a flush queue: unmaps say so, or all descriptors flush whole domains."""
    kinds = {operation.kind for operation in operations}
    if kinds & {"unmap_fast", "sync", "flush_all"}:
        return any(operation.queued for operation in operations)
    ranged = any(operation.covers for operation in operations if operation.kind == "iotlb_inv")
    return bool(descriptor_runs(operations)) and not ranged
