/// Which domain each device is attached to, as far as the log has told (design §4 12).
struct Attachments {
    /// What a CPU attached last.
    private struct Attach {
        var device: Int32
        /// Where the device was before.
        var former: Int32
        /// Whether a probe saw its entry: the tracepoint follows when it has succeeded.
        var isProbe: Bool
        var task: Int32
        /// Nothing of the API has happened since.
        var isFresh = true
    }

    /// Whether the log shows attaches that name both the device and the domain.
    private(set) var areShown = false
    private var domainOfDevice: [Int32: Int32] = [:]
    /// By domain, how many devices the log has shown in it.
    private var devices: [Int32: Int] = [:]
    private var lastOfCPU: ContiguousArray<Attach?> = []

    /// Gets ready for what happens on so many CPUs.
    mutating func prepare(cpus count: Int) {
        while lastOfCPU.count < count { lastOfCPU.append(nil) }
    }

    /// The domain that a device is attached to; 0 if that is not known.
    func domain(of device: Int32) -> Int32 { domainOfDevice[device] ?? 0 }

    /// Whether the tracepoint of an attach tells of one whose entry was seen.
    mutating func isKnown(_ device: Int32, cpu: Int) -> Bool {
        guard let last = lastOfCPU[cpu], last.device == device, last.isProbe else { return false }
        lastOfCPU[cpu] = nil
        return true
    }

    /// A device moves to a domain; 0 for one that the log does not name.
    ///
    /// - Returns: the domain that has no device any more, 0 for none.
    mutating func attach(_ device: Int32, to domain: Int32, isProbe: Bool, cpu: Int, task: Int32) -> Int32 {
        lastOfCPU[cpu] = Attach(device: device, former: self.domain(of: device), isProbe: isProbe, task: task)
        if domain > 0, device > 0 { areShown = true }
        return move(device, to: domain)
    }

    private mutating func move(_ device: Int32, to domain: Int32) -> Int32 {
        let former = domainOfDevice.updateValue(domain, forKey: device) ?? 0
        // Attaches that name no device are of any number of them.
        guard device > 0, former != domain else { return 0 }
        if domain > 0 { devices[domain, default: 0] += 1 }
        guard former > 0 else { return 0 }
        devices[former, default: 0] -= 1
        return devices[former] == 0 ? former : 0
    }

    /// Since 6.6 an attach first blocks the device's translation: a detach that is its first step, not its end.
    ///
    /// - Returns: the domain that the device was in before; `nil` if a detach is another one.
    mutating func firstStep(of device: Int32, cpu: Int, task: Int32) -> Int32? {
        guard let last = lastOfCPU[cpu], last.isFresh, last.device == device, last.task == task else { return nil }
        lastOfCPU[cpu]?.isFresh = false
        return last.former
    }

    /// A device leaves a domain.
    ///
    /// - Returns: the domain, if that was its last device, otherwise 0.
    mutating func detach(_ device: Int32, from domain: Int32) -> Int32 {
        self.domain(of: device) == domain ? move(device, to: 0) : 0
    }

    /// Something else happens on a CPU.
    @inline(__always)
    mutating func goOn(cpu: Int) {
        if lastOfCPU[cpu] != nil { lastOfCPU[cpu]?.isFresh = false }
    }

    /// Events were lost on a CPU.
    mutating func forget(_ cpu: Int) {
        if lastOfCPU[cpu] != nil { lastOfCPU[cpu] = nil }
    }
}
