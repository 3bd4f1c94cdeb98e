import IOMMUModel

/// `batch=N`: a sync right after the N-th pending call (design §4 7).
struct BatchSchedule: FlushSchedule {
    let calls: Int64
    private(set) var waiting: Int64 = 0

    init(calls: Int64) { self.calls = calls }

    var collecting: Collecting { .gathered }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapped(let call):
            waiting += 1
            actions.add(.open(nil))
            guard waiting >= calls else { return }
            actions.flush(.batchFull, at: call.occasion, calls: waiting, .sync)
            waiting = 0
        case .free: waiting = 0
        default: break
        }
    }
}

/// `every=T`: a sync T after the first pending call (design §4 7).
struct EverySchedule: FlushSchedule {
    let interval: Int64
    private(set) var waiting: Int64 = 0

    init(interval: Int64) { self.interval = interval }

    var collecting: Collecting { .gathered }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapped(let call):
            if waiting == 0 {
                let (deadline, overflow) = call.occasion.time.addingReportingOverflow(interval)
                actions.add(.arm(overflow ? .max : deadline))
            }
            waiting += 1
            actions.add(.open(nil))
        case .timer(let time):
            actions.flush(timerAt: time, calls: waiting, .sync)
            waiting = 0
        case .free:
            waiting = 0
            actions.add(.disarm)
        default: break
        }
    }
}

/// `end`: one flush_all when the domain is freed (design §4 7).
struct EndSchedule: FlushSchedule {
    private(set) var waiting: Int64 = 0

    var collecting: Collecting { .queued }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapped:
            waiting += 1
            actions.add(.open(nil))
        case .free(let occasion):
            actions.flush(.domainFree, at: occasion, calls: waiting, .all)
            waiting = 0
        default: break
        }
    }
}
