import TraceFormats

/// A call of the two-step DMA API (6.16 and later): `dma_iova_link`, `dma_iova_unlink`, `dma_iova_destroy`. The maps and unmaps that
/// follow within its addresses are its own.
struct TwoStepCall {
    enum Kind {
        case link
        case unlink
        case destroy
    }

    var kind: Kind
    var task: Int32
    var device: Int32
    /// First and last byte that it is about.
    var addresses: ClosedRange<UInt64>

    /// `nil` if the event does not say which addresses it is about.
    init?(_ event: UnsafePointer<TraceEvent>, _ kind: Kind, task: Int32, device: Int32) {
        guard let iova = event.pointee[.iova], let size = event.pointee[.size], size > 0 else { return nil }
        let (start, beyond) = iova.addingReportingOverflow(event.pointee[.offset] ?? 0)
        let (last, after) = start.addingReportingOverflow(size - 1)
        guard !beyond, !after else { return nil }
        (self.kind, self.task, self.device) = (kind, task, device)
        // Whole pages are mapped.
        addresses = start & ~4095...(last | 4095)
    }
}

/// The calls of the two-step DMA API that are going on, by CPU.
struct TwoStepCalls {
    private var cpus: ContiguousArray<TwoStepCall?> = []
    /// Whether the log shows any.
    private(set) var areShown = false

    /// Gets ready for what happens on so many CPUs.
    mutating func prepare(cpus count: Int) {
        while cpus.count < count { cpus.append(nil) }
    }

    mutating func begin(_ call: TwoStepCall?, onCPU cpu: Int) {
        cpus[cpu] = call
        areShown = true
    }

    /// The call that a map or unmap is part of.
    func call(of task: Int32, iova: UInt64, isMap: Bool, onCPU cpu: Int) -> TwoStepCall? {
        guard let call = cpus[cpu], call.task == task, call.addresses.contains(iova), isMap == (call.kind == .link)
        else {
            return nil
        }
        return call
    }

    /// Events were lost on a CPU.
    mutating func forget(_ cpu: Int) { if cpus[cpu] != nil { cpus[cpu] = nil } }
}
