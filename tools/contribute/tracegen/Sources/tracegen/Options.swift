/// What the log looks like: which events were recorded, and whether the domains flush at once or through a queue.
enum Shape: String, CaseIterable {
    case eventsStrict = "events-strict"
    case eventsLazy = "events-lazy"
    case probesStrict = "probes-strict"
    case probesLazy = "probes-lazy"
    case vfio

    var isLazy: Bool { self == .eventsLazy || self == .probesLazy }
    /// Recorded with kernel probes (domain pointers, flush layers) rather than with the two tracepoints alone.
    var hasProbes: Bool { self != .eventsStrict && self != .eventsLazy }
}

/// One entry of `--sizes`: how many bytes a mapping has, and how often in proportion to the others.
struct SizeClass {
    let bytes: UInt64
    let weight: UInt64
    /// The IOVA allocator rounds up to a power of two and aligns to it (`alloc_iova_fast(size_aligned)`).
    let slot: UInt64

    init(bytes: UInt64, weight: UInt64) {
        self.bytes = bytes
        self.weight = weight
        slot = bytes <= 1 ? 1 : 1 << UInt64(UInt64.bitWidth - (bytes - 1).leadingZeroBitCount)
    }
}

/// The command line. The same options give the same bytes on any machine.
struct Options {
    var events: UInt64 = 2_000_000
    var seed: UInt64 = 1
    var shape = Shape.probesStrict
    var processors = 2
    var domains = 1
    var workingSet = 1024
    var reuse = 32
    var burst: UInt64 = 64
    var rate: UInt64 = 50_000
    var sizes = [
        SizeClass(bytes: 4096, weight: 90), SizeClass(bytes: 8192, weight: 6), SizeClass(bytes: 131_072, weight: 4),
    ]

    static let help = """
        USAGE: tracegen [options] > LOG

        Writes a synthetic ftrace text log, shaped like the recorded logs under traces. Every number in it follows
        from the options: the same options give the same bytes on any machine.

        OPTIONS:
          --events N       Lines after the header, the two LAB markers included; at least 2 (default 2000000).
          --seed S         Another log of the same kind (default 1).
          --shape NAME     What was recorded (default probes-strict):
                             events-strict  tracepoints map and unmap, qi_submit; a page-selective flush per unmap
                             events-lazy    the same with a flush queue; domain-selective flushes
                             probes-strict  6.1 probes map, unmap_fast, unmapped, sync, hw_flush, and qi_submit
                             probes-lazy    ... with fq_timeout, fq_flush, flush_all in place of sync
                             vfio           domain_alloc, attach, mass map, mass unmap_fast with a sync each 512,
                                            detach, domain_free, and again
          --cpus N         CPUs that work at the same time, 1 to 256 (default 2).
          --domains N      Domains, one device each, 1 to 256 (default 1). vfio: containers, one per CPU at a time.
          --working-set N  Live mappings of each domain in the steady state; the log starts with as many maps
                           (default 1024). vfio: mappings of one container.
          --reuse N        An IOVA is given out again after N more frees of its size, last freed first (default 32).
          --burst N        Mean number of operations between two pauses of a CPU (default 64).
          --rate N         Maps and unmaps per second of trace time, over all CPUs (default 50000).
          --sizes SPEC     Mapping sizes and their weights, BYTES:WEIGHT[,BYTES:WEIGHT]...
                           Multiples of 4096 up to 2 MiB, of 2 MiB up to 512 MiB (default 4096:90,8192:6,131072:4).
          --help           This text.

        A lazy log flushes a domain when an unmap finds 255 entries in its CPU's ring, and when the 10 ms timer fires:
        at HZ=250 on the fourth tick after the one in which it was armed. An IOVA comes back only after a flush that
        covers it. The last lines, too few for a whole unmap on each CPU, are maps (vfio: markers).

        """

    /// What to do with a command line.
    enum Parsed {
        case run(Options)
        case help
        case refuse(String)
    }

    /// Reads `--name value` and `--name=value`.
    static func parse(_ arguments: some Collection<String>) -> Parsed {
        var options = Options()
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            guard argument.hasPrefix("--") else { return .refuse("unexpected argument '\(argument)'") }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard knownNames.contains(name) else { return .refuse("unknown option '\(name)'") }
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                return .refuse("\(name) needs a value")
            }
            if let reason = options.set(name, to: value) { return .refuse(reason) }
        }
        let widest = options.sizes.reduce(0) { max($0, $1.slot) }
        guard UInt64(options.workingSet) * widest <= 1 << 44 else {
            return .refuse("--working-set times the largest of --sizes exceeds 16 TiB")
        }
        return .run(options)
    }

    private static let knownNames: Set = [
        "--events", "--seed", "--shape", "--cpus", "--domains", "--working-set", "--reuse", "--burst", "--rate",
        "--sizes",
    ]

    /// Returns why the value is refused, nil if it was taken.
    private mutating func set(_ name: String, to value: String) -> String? {
        if name == "--shape" {
            guard let known = Shape(rawValue: value) else {
                return "--shape is one of \(Shape.allCases.map(\.rawValue).joined(separator: ", ")), not '\(value)'"
            }
            shape = known
            return nil
        }
        if name == "--sizes" {
            guard let parsed = Self.sizes(from: value) else {
                return "--sizes '\(value)': BYTES:WEIGHT pairs; multiples of 4096 up to 2 MiB, of 2 MiB up to 512 MiB"
            }
            sizes = parsed
            return nil
        }
        let limits: ClosedRange<UInt64> =
            switch name {
            case "--events": 2...4_000_000_000
            case "--seed": 0...UInt64.max
            case "--cpus", "--domains": 1...256
            case "--working-set": 1...1_048_576
            case "--reuse": 0...1_048_576
            case "--burst": 1...1_000_000
            default: 1...10_000_000
            }
        guard let number = UInt64(value), limits.contains(number) else {
            return "\(name) is a whole number from \(limits.lowerBound) to \(limits.upperBound), not '\(value)'"
        }
        switch name {
        case "--events": events = number
        case "--seed": seed = number
        case "--cpus": processors = Int(number)
        case "--domains": domains = Int(number)
        case "--working-set": workingSet = Int(number)
        case "--reuse": reuse = Int(number)
        case "--burst": burst = number
        default: rate = number
        }
        return nil
    }

    /// Sizes that one driver callback can unmap: of 4 KiB pages below 2 MiB, of 2 MiB pages above (`iommu_pgsize`).
    private static func sizes(from text: String) -> [SizeClass]? {
        var classes: [SizeClass] = []
        for pair in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = pair.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let bytes = UInt64(parts[0]), let weight = UInt64(parts[1]) else { return nil }
            let granule: UInt64 = bytes < 2 << 20 ? 4096 : 2 << 20
            guard bytes >= 4096, bytes <= 512 << 20, bytes % granule == 0, (1...1_000_000).contains(weight) else {
                return nil
            }
            classes.append(SizeClass(bytes: bytes, weight: weight))
        }
        return classes.count <= 32 ? classes : nil
    }
}
