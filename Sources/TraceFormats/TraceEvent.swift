/// One event of a log, as written: which event, when, where, by whom, and its fields. What it means is not known here.
///
/// Flat memory without references: texts are ``Symbol`` numbers, and the fields' values lie in the ``EventBatch`` that the
/// event belongs to, with which they live and die.
@frozen public struct TraceEvent {
    /// How the line says what kind of event it is.
    @frozen public enum Form: UInt8, Sendable {
        /// A kernel tracepoint: `map: IOMMU: iova=…`.
        case tracepoint
        /// A probe at a function's entry or inside it, or on another event: `sync: (intel_iommu_tlb_sync+0x5/0xf0) …`.
        case probe
        /// A probe at a function's return: `unmap_ret: (caller+0x1b/0x30 <- iommu_unmap) …`.
        case probeReturn
    }

    /// Line number in the decompressed log, from 1.
    public internal(set) var line: Int64 = 0
    /// Trace clock, in ns.
    public internal(set) var time: Int64 = 0
    /// The CPU that wrote the event.
    public internal(set) var cpu: Int32 = 0
    /// The task that ran there, its kernel thread id.
    public internal(set) var pid: Int32 = 0
    /// That task's name; `<...>` where the kernel had forgotten it.
    public internal(set) var comm: Symbol = .none
    /// The event's name, without its subsystem.
    public internal(set) var name: Symbol = .none
    /// For probes: the function probed; for probes on events, `system.event`.
    public internal(set) var location: Symbol = .none
    /// For return probes: the function that the probed one returns to.
    public internal(set) var caller: Symbol = .none
    /// How the line is built.
    public internal(set) var form: Form = .tracepoint
    /// Whether the event's text has the layout of one that is known; fields are only read from those.
    public internal(set) var isKnown = false
    /// Which fields are set: bit n for the field with raw value n.
    @usableFromInline var present: UInt64 = 0
    /// One slot for each field, whatever was there before.
    @usableFromInline let values: UnsafeMutablePointer<UInt64>

    init(values: UnsafeMutablePointer<UInt64>) { self.values = values }

    /// Takes all of another event but the memory that its fields lie in.
    mutating func copy(_ other: TraceEvent) {
        var copy = TraceEvent(values: values)
        copy.line = other.line
        copy.time = other.time
        copy.cpu = other.cpu
        copy.pid = other.pid
        copy.comm = other.comm
        copy.name = other.name
        copy.location = other.location
        copy.caller = other.caller
        copy.form = other.form
        copy.isKnown = other.isKnown
        copy.present = other.present
        values.update(from: other.values, count: Field.allCases.count)
        self = copy
    }

    /// A field's value, if the line had it. Signed values and symbols are stored by bit pattern.
    public internal(set) subscript(field: Field) -> UInt64? {
        @inlinable get {
            present & (1 << UInt64(field.rawValue)) != 0 ? values[Int(field.rawValue)] : nil
        }
        set {
            guard let newValue else {
                present &= ~(1 << UInt64(field.rawValue))
                return
            }
            present |= 1 << UInt64(field.rawValue)
            values[Int(field.rawValue)] = newValue
        }
    }

    /// A field that holds a text.
    @inlinable
    public func symbol(_ field: Field) -> Symbol? {
        self[field].map { Symbol(rawValue: UInt32(truncatingIfNeeded: $0)) }
    }
}

/// The fields that a log's events carry, under one name each, whatever the line calls them.
@frozen public enum Field: UInt8, CaseIterable, Sendable {
    /// `domain`: address of the kernel's `struct iommu_domain`.
    case domain
    /// `iova`: I/O virtual address; also `dma_addr`, `dev_addr`, of a scatter list the first one.
    case iova
    /// The second address of `iova=A - B`: one past the last byte.
    case end
    /// `paddr`: physical address; also `phys_addr`, of a scatter list the first one.
    case paddr
    /// `size`: bytes asked for; of a scatter list all of them.
    case size
    /// `unmapped`, `unmapped_size`: bytes that an unmap removed.
    case unmapped
    /// `queued`: 1 if the caller defers the flush to a queue.
    case queued
    /// `start`: first byte of a flushed range.
    case start
    /// `pgsize`: what the gather knows as its page size, in bytes.
    case pageSize
    /// `did`: domain id that the hardware knows.
    case hardwareDomain
    /// `addr`: address operand of a flush.
    case address
    /// `order`: log2 of the pages that a flush covers.
    case order
    /// `type`: a number in probes, a symbol in cache-tag events.
    case type
    /// `dev`, `device`: device name, a symbol.
    case device
    /// Driver name in a fault, a symbol.
    case driver
    /// IOMMU unit, a symbol such as `dmar0`.
    case unit
    /// `groupID`.
    case group
    /// `flags` of a fault: 0 read, 1 write.
    case flags
    /// First word of a descriptor or command.
    case word0
    /// Second word.
    case word1
    /// Third word.
    case word2
    /// Fourth word.
    case word3
    /// Fifth word: those from here on are further commands of one submission, `cmds`.
    case word4
    /// Sixth word.
    case word5
    /// Seventh word.
    case word6
    /// Eighth word.
    case word7
    /// `pages` of a cache-tag flush.
    case pages
    /// `mask`: log2 of the pages that a descriptor covers.
    case mask
    /// `prot` of a map.
    case protection
    /// `n`: commands in one submission; `ents`: entries of a scatter list that were mapped.
    case count
    /// `sync`: 1 if a submission waits for its completion.
    case waits
    /// `timer`, `cookie`, `smmu`: an object of the kernel that says which queue or unit an event is about.
    case object
    /// The text of a trace marker: an index into its batch's ``EventBatch/texts``.
    case text
    /// `pasid`.
    case pasid
    /// `offset` into the addresses that `iova` begins: of the two-step DMA API.
    case offset
    /// `dir` of the DMA API, a symbol such as `TO_DEVICE`.
    case direction
}

/// A text of the log, as a number into its ``SymbolTable``: names of tasks, events, functions and devices repeat.
@frozen public struct Symbol: RawRepresentable, Hashable, Sendable {
    /// Index into the table.
    public let rawValue: UInt32

    /// The symbol with this number.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The empty text.
    public static let none = Symbol(rawValue: 0)
    /// Stands for every text that came after the table was full.
    public static let overflow = Symbol(rawValue: 1)
}
