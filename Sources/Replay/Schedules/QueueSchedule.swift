import IOMMUModel

/// `queue=N,T` and `single-queue=N,T`: the kernel's flush queue (design §4 8).
final class QueueSchedule: FlushSchedule {
    private let settings: FlushQueue.Settings
    private let wheel: TimerWheel
    @exclusivity(unchecked) private var queue = FlushQueue()

    init(domain: Int32, lane: PolicyLane, settings: FlushQueue.Settings, wheel: TimerWheel) {
        self.settings = settings
        self.wheel = wheel
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        let queued = queue.queue(cpu: call.cpu, settings: settings)
        if let covered = queued.ringFullFlush {
            lane.record(domain: domain, at: PolicyLane.Occasion(call), cause: .ringFull, flushes: 1, calls: covered)
            lane.withInvalidator(of: domain, for: call.cell, at: call.time) { $0.flushAll() }
        }
        lane.open(call, domain: domain)
        if queued.armsTimer { lane.arm(self, for: wheel.deadline(armedAt: call.time, timeout: settings.timeout)) }
        waiting = queue.waiting
    }

    override func timerFired(at time: Int64) {
        let cell = lane.recordTimer(domain: domain, at: time, calls: queue.timerFired())
        lane.withInvalidator(of: domain, for: cell, at: time) { $0.flushAll() }
        waiting = 0
    }

    override func domainFreed(_ free: DomainFree) {
        _ = queue.discard()
        lane.disarm(self)
        waiting = 0
    }

    override var isFlushDue: Bool { queue.waiting > 0 || queue.isTimerArmed }
}
