/// In what context the kernel ran, as the latency flags tell it. A column for each kind of line, all read off the lab's
/// logs: probes of 6.1 run from int3 handlers (`Z`), and an event probe counts one more level of preemption than the
/// tracepoint below it.
final class Context: Sendable {
    let probe: StaticString
    let mapEvent: StaticString
    let unmapEvent: StaticString
    let unmapped: StaticString
    let submit: StaticString

    private init(
        probe: StaticString, mapEvent: StaticString, unmapEvent: StaticString, unmapped: StaticString,
        submit: StaticString
    ) {
        self.probe = probe
        self.mapEvent = mapEvent
        self.unmapEvent = unmapEvent
        self.unmapped = unmapped
        self.submit = submit
    }

    /// A system call.
    static let process = Context(
        probe: "..Zff", mapEvent: ".....", unmapEvent: ".....", unmapped: "...1.", submit: "d..1.")
    /// A hardware interrupt on top of a task.
    static let interrupt = Context(
        probe: "..Zff", mapEvent: "d.h..", unmapEvent: "d.h..", unmapped: "d.h1.", submit: "d.h1.")
    /// A hardware interrupt on an idle CPU.
    static let idleInterrupt = Context(
        probe: "d.Z..", mapEvent: "d.h1.", unmapEvent: "d.h1.", unmapped: "d.h2.", submit: "d.h2.")
    /// A softirq on top of a task, or in ksoftirqd.
    static let softirq = Context(
        probe: "..Zff", mapEvent: "..s..", unmapEvent: "..s..", unmapped: "..s1.", submit: "d.s1.")
    /// A softirq on an idle CPU.
    static let idleSoftirq = Context(
        probe: "d.Z..", mapEvent: "..s1.", unmapEvent: "..s1.", unmapped: "..s2.", submit: "d.s2.")
    /// A worker with bottom halves off, and the interrupt that comes on top of it.
    static let worker = Context(
        probe: "D.Z..", mapEvent: "b..1.", unmapEvent: "D.h1.", unmapped: "D.h2.", submit: "D.h2.")
}

/// A task that a CPU runs for one burst: who maps, and in which context what it mapped is unmapped.
struct Actor {
    let task: TaskPrefix
    let mapping: Context
    let unmapping: Context
    let timer: Context

    /// The tasks of one CPU. Names as a parser meets them: with a colon, a slash, spaces and dashes, `<idle>`.
    struct Cast {
        let disk, idle, idleNetwork, softirq, worker, spaces: Actor

        init(processor: Int) {
            func task(_ command: String, _ pid: Int) -> TaskPrefix {
                TaskPrefix(command: command, pid: pid, processor: processor)
            }
            let idleTask = task("<idle>", 0)
            disk = Actor(
                task: task("fio", 271 + processor), mapping: .process, unmapping: .interrupt, timer: .softirq)
            idle = Actor(
                task: idleTask, mapping: .idleSoftirq, unmapping: .idleInterrupt, timer: .idleSoftirq)
            idleNetwork = Actor(
                task: idleTask, mapping: .idleSoftirq, unmapping: .idleSoftirq, timer: .idleSoftirq)
            softirq = Actor(
                task: task("ksoftirqd/\(processor)", 14 + 7 * processor), mapping: .softirq, unmapping: .softirq,
                timer: .softirq)
            worker = Actor(
                task: task("kworker/\(processor):1H", 58 + 9 * processor), mapping: .worker, unmapping: .worker,
                timer: .softirq)
            spaces = Actor(
                task: task("busybox io-7 x", 1224 + processor), mapping: .process, unmapping: .interrupt,
                timer: .softirq)
        }

        /// Mostly the task with the disk and the interrupts of an idle CPU.
        func pick(_ random: inout RandomSource) -> Actor {
            switch random.below(16) {
            case 0..<8: disk
            case 8..<10: idle
            case 10..<12: idleNetwork
            case 12..<14: softirq
            case 14: worker
            default: spaces
            }
        }
    }
}
