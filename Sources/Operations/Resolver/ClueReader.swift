/// A command for a range of a hardware domain.
struct RangeCommand {
    /// The entry that it came before.
    var before: Int
    var label: Int
    /// First and last byte.
    var first: UInt64
    var last: UInt64
    var time: Int64
}

/// Finds the operations that a clue is about: those of its CPU and task that came just before it, or the next one.
struct ClueReader {
    /// Operations of each CPU that no clue has told of yet.
    private var unmaps: ContiguousArray<ContiguousArray<Int>>
    private var maps: ContiguousArray<ContiguousArray<Int>>
    /// Of each CPU the device that the next unmap is for: the DMA API tells of some before they happen.
    private var announced: ContiguousArray<(task: Int32, label: Int, address: UInt64?)?>

    /// Where each task unmapped last, and where it did before it went there.
    private var cpusOfTask: [Int32: (last: Int, former: Int)] = [:]
    /// Commands for ranges: before which entry, whose, when.
    private(set) var ranges: ContiguousArray<RangeCommand> = []

    private static let limit = 512

    init(cpus: Int) {
        unmaps = ContiguousArray(repeating: [], count: cpus)
        maps = unmaps
        announced = ContiguousArray(repeating: nil, count: cpus)
    }

    /// An operation has happened.
    mutating func add(_ index: Int, _ entries: inout ContiguousArray<Entry>, _ resolver: inout Resolver, cpu: Int) {
        let entry = entries[index]
        if entry.isMap {
            Self.credit(resolver.departures.map(task: entry.task), &entries, &resolver)
            maps[cpu].append(index)
            if maps[cpu].count > Self.limit { maps[cpu].removeFirst(Self.limit / 2) }
            return
        }
        if let next = announced[cpu], next.task == entry.task {
            announced[cpu] = nil
            if next.address.map({ Self.contains(entry, $0) }) ?? true {
                entries[index].fixed = next.label
                entries[index].fixedGrade = .dma
                return
            }
        }
        Self.credit(resolver.departures.unmap(index, entry), &entries, &resolver)
        let last = cpusOfTask[entry.task]?.last
        if last != cpu { cpusOfTask[entry.task] = (cpu, last ?? cpu) }
        unmaps[cpu].append(index)
        if unmaps[cpu].count > Self.limit { unmaps[cpu].removeFirst(Self.limit / 2) }
    }

    /// The window's operations are all there.
    static func finish(_ entries: inout ContiguousArray<Entry>, _ resolver: inout Resolver) {
        for departed in resolver.departures.endWindow() { credit(departed, &entries, &resolver) }
    }

    /// Unmaps are of a domain that a device has left, except those that a command of its own tells of.
    private static func credit(
        _ departed: Departures.Departed?, _ entries: inout ContiguousArray<Entry>, _ resolver: inout Resolver
    ) {
        guard let departed else { return }
        let label = resolver.index(of: .hardware(departed.id))
        guard label >= 0 else { return }
        for index in departed.members where entries[index].fixed < 0 {
            entries[index].fixed = label
            entries[index].fixedGrade = .inferred
        }
    }

    mutating func take(
        _ clue: Clue, _ entries: inout ContiguousArray<Entry>,
        _ flushes: inout ContiguousArray<(before: Int, label: Int?, time: Int64)>, _ resolver: inout Resolver
    ) {
        let cpu = Int(max(clue.cpu, 0))
        switch clue.kind {
        case .global: flushes.append((entries.count, nil, clue.time))
        case .whole(let hardwareDomain):
            guard !resolver.namesDevices else { return }
            let label = resolver.index(of: .hardware(hardwareDomain))
            if label >= 0 { flushes.append((entries.count, label, clue.time)) }
        case .range(let hardwareDomain, let first, let last):
            guard !resolver.namesDevices, cpu < unmaps.count else { return }
            let label = resolver.index(of: .hardware(hardwareDomain))
            if label >= 0 {
                ranges.append(
                    RangeCommand(before: entries.count, label: label, first: first, last: last, time: clue.time))
            }
            for index in unmaps[cpu] where entries[index].task == clue.task {
                guard label >= 0, Self.covers(first, last, entries[index]) else { continue }
                entries[index].fixed = label
                entries[index].fixedGrade = .hardware
            }
            unmaps[cpu].removeAll { entries[$0].task == clue.task }
            guard label >= 0, let cpus = cpusOfTask[clue.task] else { return }
            // The task has moved to this CPU since. Those that it left behind may be of another one of the same name, the idle one.
            let other = cpus.last != cpu ? cpus.last : cpus.former
            guard other != cpu else { return }
            unmaps[other].removeAll { index in
                guard entries[index].task == clue.task, Self.covers(first, last, entries[index]) else { return false }
                entries[index].fixed = label
                entries[index].fixedGrade = .inferred
                return true
            }
        case .mapped(let device, let address):
            let label = resolver.index(of: .device(device))
            guard label >= 0, cpu < maps.count else { return }
            for index in maps[cpu] where entries[index].task == clue.task {
                guard address.map({ Self.contains(entries[index], $0) }) ?? true else { continue }
                entries[index].fixed = label
                entries[index].fixedGrade = .dma
            }
            maps[cpu].removeAll { entries[$0].task == clue.task }
        case .unmapped(let device, let address):
            let label = resolver.index(of: .device(device))
            guard label >= 0, cpu < unmaps.count else { return }
            let index = address.flatMap { address in
                unmaps[cpu].last { entries[$0].task == clue.task && Self.contains(entries[$0], address) }
            }
            if let index {
                entries[index].fixed = label
                entries[index].fixedGrade = .dma
                unmaps[cpu].removeAll { entries[$0].task == clue.task }
            } else {
                announced[cpu] = (clue.task, label, address)
            }
        case .left(let hardwareDomain):
            Self.credit(
                resolver.departures.leave(hardwareDomain, task: clue.task, time: clue.time), &entries, &resolver)
        case .moved(let device):
            Self.credit(resolver.departures.move(device, task: clue.task, time: clue.time), &entries, &resolver)
        }
    }

    /// Whether a range holds all that was unmapped.
    private static func covers(_ first: UInt64, _ last: UInt64, _ entry: Entry) -> Bool {
        first <= entry.iova && entry.iova &+ (max(entry.size, 1) - 1) <= last
    }

    private static func contains(_ entry: Entry, _ address: UInt64) -> Bool {
        address >= entry.iova && address - entry.iova < entry.size
    }
}
