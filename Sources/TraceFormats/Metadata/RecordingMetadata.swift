/// What is known of a recording beside its events: the machine, its settings, its clock, and what was counted as lost.
///
/// It comes from the log itself, or from files kept beside it (``Sidecar``). Nothing of it is an event, and no flush or
/// window is ever counted from it: it becomes rows, defaults, and the other side of a contradiction.
public struct RecordingMetadata: Sendable {
    /// How a fact is known (definitions.md, Words).
    public enum Evidence: String, Sendable {
        case recorded
        case inferred
        case assumed
    }

    /// What a fact is about. The raw values are those of `metadata.key`.
    public enum Key: String, CaseIterable, Sendable {
        /// The kernel as `uname -a` or its boot message names it.
        case kernel
        /// Its release, `6.1.0-56-amd64`; as a number 1000 x major + minor.
        case kernelRelease = "kernel_release"
        /// The kernel's command line.
        case commandLine = "cmdline"
        /// What an option of the command line really means, where that is easily mistaken.
        case commandLineRemark = "cmdline_remark"
        /// What the kernel was told to do with flushes of DMA domains: `lazy` or `strict` (model.md §2.7).
        case bootPolicy = "boot_policy"
        /// What it was told that devices get: `translated` or `identity`.
        case bootDomain = "boot_domain"
        /// Why a kernel that was told to be lazy is strict.
        case strictBecause = "strict_because"
        /// `CONFIG_HZ`.
        case hz
        /// The trace clock.
        case clock = "trace_clock"
        /// Cycles per second of the time stamp counter.
        case tscHz = "tsc_hz"
        /// What a tick of a counting clock was taken for.
        case ticksPerSecond = "ticks_per_second"
        /// Whether the log's times are `seconds` or `ticks`.
        case times
        /// The counting clock that the log's times look like.
        case evidentClock = "evident_clock"
        /// The oldest kernel that the log's own events can be of: `6.19 or later`; as a number like ``kernelRelease``.
        case evidentKernel = "evident_kernel"
        /// ftrace's tracer.
        case tracer
        /// CPUs of the ring buffer.
        case bufferCPUs = "buffer_cpus"
        /// An IOMMU's capability register, in hexadecimal, after the unit's name.
        case cap
        /// Its extended capability register.
        case ecap
        /// A file of the sidecar that was not taken, or not all of it, and why.
        case notRead = "not_read"
    }

    /// Something that is known: a row of `metadata`.
    public struct Fact: Hashable, Sendable {
        /// What it is about.
        public var key: Key
        /// For ``Key/cap`` and ``Key/ecap`` the unit, such as `dmar0`.
        public var unit: String?
        /// In words.
        public var value: String
        /// As a number, where it is one.
        public var number: Int64?
        /// `log`, or the file of the sidecar by its path inside.
        public var source: String
        /// How it is known.
        public var evidence: Evidence
        /// What `metadata.key` holds.
        public var name: String { unit.map { "\($0).\(key.rawValue)" } ?? key.rawValue }
    }

    /// `per_cpu/cpuN/stats`: what the ring buffer of one CPU counted.
    public struct CPUCounters: Hashable, Sendable {
        /// The CPU.
        public var cpu: Int32
        /// Events in the buffer.
        public var entries: Int64?
        /// Events overwritten by later ones.
        public var overrun: Int64?
        /// Events lost because too many interrupts nested.
        public var commitOverrun: Int64?
        /// Events that a full buffer refused.
        public var dropped: Int64?
        /// Events that a reader took out.
        public var read: Int64?
        /// Where it says so.
        public var source: String
    }

    /// A line of `kprobe_profile`.
    public struct Probe: Hashable, Sendable {
        /// The probe's event.
        public var name: String
        /// How often it was hit.
        public var hits: Int64
        /// How often it was passed without a hit: no mark of that is in any log.
        public var missed: Int64
        /// Where it says so.
        public var source: String
    }

    /// A group of devices that the IOMMU cannot tell apart.
    public struct Group: Hashable, Sendable {
        /// Its number.
        public var number: Int64
        /// `iommu_groups/N/type`: of its default domain, whoever owns the group now.
        public var type: String?
        /// Its devices, with their drivers where they are told.
        public var devices: [Device] = []
        /// Where it says so.
        public var source: String
    }

    /// A device of a group.
    public struct Device: Hashable, Sendable {
        /// As logs name it, such as `0000:00:03.0`.
        public var name: String
        /// Its driver's name.
        public var driver: String?
    }

    /// In the order in which they were found.
    public private(set) var facts: [Fact] = []
    /// In the order in which they were found.
    public private(set) var counters: [CPUCounters] = []
    /// In the order in which they were found.
    public private(set) var probes: [Probe] = []
    /// In the order in which they were found.
    public private(set) var groups: [Group] = []

    private var probeIndex: [String: Int] = [:]
    private var groupIndex: [Int64: Int] = [:]
    private var devices: Set<String> = []

    // A machine has fewer of each; a file that somebody mails may name any number.
    static let mostFacts = 512
    static let mostCPUs: Int64 = 8192
    static let mostProbes = 4096
    static let mostGroups = 4096
    static let mostDevices = 4096
    /// Longer texts are cut: the command line of Linux has at most 4096 bytes.
    static let longestValue = 4096
    /// Larger counts are no counts; sums over a column must stay sums.
    static let largestCount: Int64 = 1 << 48

    /// Knows nothing.
    public init() {}

    /// Whether nothing is known.
    public var isEmpty: Bool { facts.isEmpty && counters.isEmpty && probes.isEmpty && groups.isEmpty }

    /// The first fact about something.
    public func fact(_ key: Key) -> Fact? { facts.first { $0.key == key } }

    /// Adds a fact. The same from the same source counts once.
    public mutating func add(
        _ key: Key, _ value: String, number: Int64? = nil, unit: String? = nil, source: String,
        evidence: Evidence = .recorded
    ) {
        guard !value.isEmpty, facts.count < Self.mostFacts else { return }
        let fact = Fact(
            key: key, unit: unit, value: String(value.prefix(Self.longestValue)), number: number, source: source,
            evidence: evidence)
        if !facts.contains(fact) { facts.append(fact) }
    }

    mutating func removeFacts(where isGone: (Fact) -> Bool) { facts.removeAll(where: isGone) }

    mutating func add(_ counters: CPUCounters) {
        guard self.counters.count < Int(Self.mostCPUs), !self.counters.contains(counters) else { return }
        self.counters.append(counters)
    }

    mutating func add(_ probe: Probe) {
        // Two files may hold the same list: the one taken later counts more.
        if let index = probeIndex[probe.name] {
            if probes[index].hits <= probe.hits, probes[index].missed <= probe.missed { probes[index] = probe }
            return
        }
        guard probes.count < Self.mostProbes else { return }
        probeIndex[probe.name] = probes.count
        probes.append(probe)
    }

    /// Adds what a source tells of a group to what others have told.
    mutating func add(group number: Int64, type: String? = nil, devices: [Device] = [], source: String) {
        guard (0...Int64(Int32.max)).contains(number) else { return }
        let index = groupIndex[number] ?? groups.count
        if index == groups.count {
            guard groups.count < Self.mostGroups else { return }
            groupIndex[number] = index
            groups.append(Group(number: number, source: source))
        }
        if groups[index].type == nil { groups[index].type = type }
        for device in devices {
            if let known = groups[index].devices.firstIndex(where: { $0.name == device.name }) {
                if groups[index].devices[known].driver == nil {
                    groups[index].devices[known].driver = device.driver
                }
            } else if self.devices.count < Self.mostDevices, self.devices.insert(device.name).inserted {
                groups[index].devices.append(device)
            }
        }
    }

    /// Adds what the log says of itself to what its sidecar says.
    public mutating func add(_ other: RecordingMetadata) {
        for fact in other.facts where facts.count < Self.mostFacts && !facts.contains(fact) { facts.append(fact) }
        for counters in other.counters { add(counters) }
        for probe in other.probes { add(probe) }
        for group in other.groups {
            add(group: group.number, type: group.type, devices: group.devices, source: group.source)
        }
    }

    // MARK: - Conclusions

    /// What a tick of the trace clock is worth, if the clock is known to count and its rate is known: `uptime` counts
    /// hundredths of a second on every machine with `USER_HZ` 100 (`trace_clock_jiffies()`), whatever `CONFIG_HZ` is.
    ///
    /// `counter` counts events: it has no rate.
    public var tickRate: (perSecond: UInt64, reason: String)? {
        switch fact(.clock)?.value {
        case "uptime": (100, "trace clock uptime")
        case "x86-tsc":
            fact(.tscHz).flatMap { fact in
                fact.number.map { (UInt64(clamping: $0), "trace clock x86-tsc of \(fact.value) (\(fact.source))") }
            }
        default: nil
        }
    }

    /// Draws the conclusions that need several facts; to be called once all of them are there.
    mutating func conclude(_ defaults: Defaults) {
        // The kernel says what it made of everything; its command line says so too; its configuration only where the
        // command line is known and silent.
        guard fact(.commandLine) != nil else { return }
        if fact(.bootPolicy) == nil, let policy = defaults.policy {
            add(.bootPolicy, policy.value, source: policy.source, evidence: .inferred)
        }
        if fact(.bootDomain) == nil, let domain = defaults.domain {
            add(.bootDomain, domain.value, source: domain.source, evidence: .inferred)
        }
    }

    /// What the kernel does if its command line says nothing.
    struct Defaults {
        var policy: (value: String, source: String)?
        var domain: (value: String, source: String)?
    }
}
