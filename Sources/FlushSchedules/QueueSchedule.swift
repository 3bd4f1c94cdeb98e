import IOMMUModel

/// `queue=N,T` and `single-queue=N,T`: the kernel's flush queue (design §4 8).
///
/// Calls whose caller syncs by itself do not go through it: they are flushed like those of `sync`.
struct QueueSchedule: FlushSchedule {
    private let settings: FlushQueue.Settings
    private let wheel: TimerWheel
    private var queue = FlushQueue()

    init(settings: FlushQueue.Settings, wheel: TimerWheel) {
        self.settings = settings
        self.wheel = wheel
    }

    var collecting: Collecting { .queued }
    var waiting: Int64 { queue.waiting }
    var isFlushDue: Bool { queue.waiting > 0 || queue.isTimerArmed }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        switch event {
        case .unmapped(let call) where call.isImmediate:
            actions.flush(.call, at: call.occasion, calls: 1, .sync)
        case .unmapped(let call):
            let queued = queue.queue(cpu: call.cpu, settings: settings)
            if let covered = queued.ringFullFlush {
                actions.flush(.ringFull, at: call.occasion, calls: covered, .all)
            }
            actions.add(.open(nil))
            if queued.armsTimer {
                actions.add(.arm(wheel.deadline(armedAt: call.occasion.time, timeout: settings.timeout)))
            }
        case .timer(let time): actions.flush(timerAt: time, calls: queue.timerFired(), .all)
        case .free:
            _ = queue.discard()
            actions.add(.disarm)
        default: break
        }
    }
}
