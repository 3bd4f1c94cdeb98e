import SeededTable
import TraceFormats

/// What a log calls things: the texts of its symbols, and the numbers of what operations refer to by one.
struct LogNames {
    private var texts: [String] = []
    private(set) var devices = NameTable()
    private(set) var units = NameTable()
    var tasks = TaskTable()

    /// Takes further symbols, in order of their numbers.
    mutating func add(_ symbols: [String]) { texts.append(contentsOf: symbols) }

    /// Symbols known so far.
    var count: Int { texts.count }

    func text(_ symbol: Symbol) -> String {
        let index = Int(symbol.rawValue)
        return index < texts.count ? texts[index] : ""
    }

    /// A device's number, 0 for none.
    mutating func device(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return devices.number(of: symbol) ?? devices.add(symbol, text(symbol))
    }

    /// An IOMMU's number, 0 for none.
    mutating func unit(_ symbol: Symbol?) -> Int32 {
        guard let symbol, symbol != .none else { return 0 }
        return units.number(of: symbol) ?? units.add(symbol, text(symbol))
    }

    /// The number of the task that an event happened in.
    @inline(__always)
    mutating func task(of event: UnsafePointer<TraceEvent>) -> Int32 {
        let cpu = Int(event.pointee.cpu)
        let last = tasks.last[cpu]
        if last.number != 0, last.pid == event.pointee.pid, last.comm == event.pointee.comm { return last.number }
        return tasks.number(pid: event.pointee.pid, comm: event.pointee.comm, text(event.pointee.comm), onCPU: cpu)
    }
}

/// Names that a log uses, numbered from 1 in the order in which they appear.
struct NameTable {
    private(set) var names: ContiguousArray<String> = []
    private(set) var numberOfSymbol = SeededTable<UInt64, Int32>()
    private var numberOfName: [String: Int32] = [:]

    func number(of symbol: Symbol) -> Int32? { numberOfSymbol[UInt64(symbol.rawValue)] }

    /// Numbers a symbol; one name may have several, such as one with and one without quotes around it.
    mutating func add(_ symbol: Symbol, _ name: String) -> Int32 {
        let number = numberOfName[name] ?? Int32(names.count + 1)
        if Int(number) > names.count { names.append(name) }
        numberOfName[name] = number
        numberOfSymbol.set(UInt64(symbol.rawValue), number)
        return number
    }
}

/// The tasks of a log, numbered from 1 in the order in which they appear.
struct TaskTable {
    /// Tasks beyond this many are not told apart, so that a hostile log cannot fill memory.
    static let limit = 1 << 18

    private(set) var all: ContiguousArray<OperationBuilder.Task> = []
    private(set) var numbers = SeededTable<UInt64, Int32>()
    /// By CPU the task that an event was of last.
    fileprivate var last: ContiguousArray<(pid: Int32, comm: Symbol, number: Int32)> = []

    /// Gets ready for what happens on so many CPUs.
    mutating func prepare(cpus count: Int) {
        while last.count < count { last.append((0, .none, 0)) }
    }

    fileprivate mutating func number(pid: Int32, comm: Symbol, _ name: String, onCPU cpu: Int) -> Int32 {
        let key = UInt64(UInt32(bitPattern: pid)) << 32 | UInt64(comm.rawValue)
        let number: Int32
        if let known = numbers[key] {
            number = known
        } else if all.count < Self.limit {
            all.append(OperationBuilder.Task(pid: pid, comm: name))
            number = Int32(all.count)
            numbers.set(key, number)
        } else {
            number = Int32(Self.limit)
        }
        last[cpu] = (pid, comm, number)
        return number
    }
}
