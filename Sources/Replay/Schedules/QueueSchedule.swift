import IOMMUModel

/// `queue=N,T` and `single-queue=N,T`: the kernel's flush queue (design §4 8).
final class QueueSchedule: FlushSchedule {
    private let settings: FlushQueue.Settings
    private let wheel: TimerWheel
    private var queue = FlushQueue()

    init(domain: Int32, lane: PolicyLane, settings: FlushQueue.Settings, wheel: TimerWheel) {
        self.settings = settings
        self.wheel = wheel
        super.init(domain: domain, lane: lane)
    }

    override func unmap(_ call: UnmapCall) {
        let queued = queue.queue(cpu: call.cpu, settings: settings)
        if let covered = queued.ringFullFlush {
            lane.record(
                domain: domain, at: call.time, operation: call.id, cause: .ringFull, flushes: 1, calls: covered)
        }
        if queued.armsTimer { lane.arm(self, for: wheel.deadline(armedAt: call.time, timeout: settings.timeout)) }
        waiting = queue.waiting
    }

    override func timerFired(at time: Int64) {
        let covered = queue.timerFired()
        lane.record(domain: domain, at: time, operation: 0, cause: .timer, flushes: 1, calls: covered)
        waiting = 0
    }

    override func domainFreed(at time: Int64, operation: Int64) {
        _ = queue.discard()
        lane.disarm(self)
        waiting = 0
    }

    override var isFlushDue: Bool { queue.waiting > 0 || queue.isTimerArmed }
}
