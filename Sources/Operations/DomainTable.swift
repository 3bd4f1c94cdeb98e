import SeededTable
import TraceFormats

/// The domains of a log, by number from 1: which one an event means, and which devices are attached to it.
struct DomainTable {
    /// Domains beyond this many are not told apart, so that a hostile log cannot fill memory.
    static let limit = 1 << 16

    private(set) var all: ContiguousArray<Domain> = []
    /// Whether all operations that name no domain are to be taken for those of one.
    let assumesSingle: Bool
    /// The one that stands for all operations that name none; 0 before the first of them.
    private(set) var unresolved: Int32 = 0
    /// Who is attached where.
    var attachments = Attachments()
    /// What the hardware calls them.
    private(set) var hardwareIDs = HardwareIDs()
    private(set) var numberOfPointer = SeededTable<UInt64, Int32>()
    private var lastPointer: (pointer: UInt64, domain: Int32) = (0, 0)
    /// Domains that are known by the name of a device only.
    private var numberOfDevice: [Int32: Int32] = [:]

    init(assumesSingle: Bool) { self.assumesSingle = assumesSingle }

    /// The domain of a number.
    subscript(number: Int32) -> Domain {
        @inline(__always) get { all[Int(number) - 1] }
        @inline(__always) _modify { yield &all[Int(number) - 1] }
    }

    var indices: Range<Int> { all.indices }

    /// Whether the domains of operations are still to be found.
    var areOpen: Bool { unresolved > 0 && !assumesSingle }

    /// Whether the domain of operations that are taken for this one is still to be found.
    @inline(__always)
    func isUnresolved(_ domain: Int32) -> Bool { domain == unresolved && areOpen }

    // MARK: - Finding

    /// The domain that has this address now; the unresolved one for none.
    @inline(__always)
    mutating func number(of pointer: UInt64?) -> Int32 {
        guard let pointer else { return numberOfUnresolved() }
        if lastPointer.domain != 0, lastPointer.pointer == pointer { return lastPointer.domain }
        return find(pointer)
    }

    private mutating func numberOfUnresolved() -> Int32 {
        if unresolved == 0 { unresolved = add(pointer: nil, generation: 0) }
        self[unresolved].isUsed = true
        return unresolved
    }

    private mutating func find(_ pointer: UInt64) -> Int32 {
        let number = numberOfPointer[pointer] ?? add(pointer: pointer, generation: 0)
        numberOfPointer.set(pointer, number)
        self[number].isUsed = true
        lastPointer = (pointer, number)
        return number
    }

    /// The domain of an event that may name a device in place of an address: the one that the device is known to be
    /// attached to, otherwise one that is called like it.
    mutating func number(of pointer: UInt64?, ofDevice device: Int32, _ names: LogNames) -> Int32 {
        guard pointer == nil, device > 0 else { return number(of: pointer) }
        let attached = attachments.domain(of: device)
        if attached > 0 { return attached }
        let number = numberOfDevice[device] ?? add(pointer: nil, generation: 0)
        if numberOfDevice[device] == nil {
            numberOfDevice[device] = number
            self[number].deviceName = names.devices.names[Int(device) - 1]
        }
        self[number].isUsed = true
        return number
    }

    /// The domain that is called like a device, if there is one.
    func number(calledLike device: Int32) -> Int32? { numberOfDevice[device] }

    // MARK: - Coming

    /// An address is allocated: a new generation, if the one before it was freed or used (its free was missed).
    mutating func allocate(_ pointer: UInt64, line: Int64) -> Int32 {
        lastPointer = (0, 0)
        var generation = 0
        if let old = numberOfPointer[pointer] {
            let former = self[old]
            guard former.freed != nil || former.isUsed else { return old }
            generation = former.generation + 1
            end(old, line: line)
        }
        let number = add(pointer: pointer, generation: generation)
        numberOfPointer.set(pointer, number)
        hardwareIDs.begin(number, line: line)
        return number
    }

    /// Adds a domain that only the hardware's id is known of.
    mutating func add(hardwareDomain id: Int64) -> Int32 {
        let number = add(pointer: nil, generation: 0)
        self[number].hardwareDomain = id
        self[number].isHardwareName = true
        self[number].isUsed = true
        return number
    }

    private mutating func add(pointer: UInt64?, generation: Int) -> Int32 {
        guard all.count < Self.limit else { return Int32(Self.limit) }
        all.append(Domain(pointer: pointer, generation: generation))
        return Int32(all.count)
    }

    // MARK: - What is told of them

    /// A domain is freed.
    mutating func free(_ domain: Int32, at time: Int64, line: Int64) {
        self[domain].freed = time
        end(domain, line: line)
    }

    private mutating func end(_ domain: Int32, line: Int64) {
        self[domain].goneLine = line
        hardwareIDs.release(domain, line: line)
    }

    /// A device moves to a domain; 0 for one that the log does not name.
    mutating func attach(_ device: Int32, to domain: Int32, isProbe: Bool, cpu: Int, task: Int32, line: Int64) {
        let emptied = attachments.attach(device, to: domain, isProbe: isProbe, cpu: cpu, task: task)
        if emptied > 0 { hardwareIDs.release(emptied, line: line) }
        guard domain > 0 else { return }
        self[domain].wasAttached = true
        self[domain].probeCandidate.anythingElse()
    }

    /// A device leaves a domain.
    mutating func detach(_ device: Int32, from domain: Int32, line: Int64) {
        let emptied = attachments.detach(device, from: domain)
        if emptied > 0 { hardwareIDs.release(emptied, line: line) }
    }

    /// A command is of a domain, whose id it names.
    mutating func learn(from layer: Layer, of domain: Int32, _ evidence: HardwareIDs.Evidence) {
        guard let id = layer.hardwareDomain else { return }
        self[domain].hardwareDomain = id
        if domain != unresolved {
            hardwareIDs.note(id, unit: layer.unit, of: domain, evidence, line: layer.line)
        }
    }

    /// A layer of a recorded flush reached the hardware.
    mutating func flushed(by layer: Layer) {
        learn(from: layer, of: layer.domain, .certain)
        if layer.kind.invalidatesIOTLB, !self[layer.domain].wasAttached { self[layer.domain].wasAttachedBefore = true }
    }

    /// An operation has its domain, for good or for now.
    @inline(__always)
    mutating func note(_ operation: Operation) {
        guard operation.domain > 0, let iova = operation.iova else { return }
        if operation.kind == .map {
            self[operation.domain].teardown.map(iova: iova, size: operation.size ?? 0)
        } else if operation.kind.isUnmap {
            self[operation.domain].teardown.unmap(
                task: operation.task, iova: iova, size: operation.result ?? operation.size ?? 0)
            if operation.size == Domain.batchBytes { self[operation.domain].fullBatches += 1 }
            guard operation.flags.contains(.byProbe), !operation.flags.contains(.attachProbe) else { return }
            if operation.kind == .unmap {
                self[operation.domain].strictCalls += 1
            } else {
                self[operation.domain].fastCalls += 1
            }
        }
    }

    /// The log is at its end.
    mutating func finish() {
        for index in all.indices { all[index].conclude() }
    }

    /// Says how the domain of an operation is known.
    mutating func grade(_ operation: inout Operation) {
        guard operation.kind == .map || operation.kind.isUnmap, operation.domain > 0 else { return }
        let grade: Grade
        if operation.domain == unresolved {
            grade = assumesSingle ? .assumed : .ambiguous
        } else {
            grade = self[operation.domain].pointer == nil ? .name : .pointer
        }
        operation.grade = grade
        // Those that are ambiguous now are counted when they have been decided on.
        if grade != .ambiguous { self[operation.domain].count(grade, 1) }
    }
}
