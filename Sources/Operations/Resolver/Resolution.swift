/// How the domain of an operation is known, from the firmest on. The raw value is what the database stores.
public enum Grade: UInt8, CaseIterable, Sendable {
    /// The event names the domain's address.
    case pointer = 1
    /// The event names the device.
    case name = 2
    /// An event of the DMA API beside it names the device.
    case dma = 3
    /// The descriptor after the unmap on the same CPU and task names the hardware's domain id; a map has that of the unmap
    /// that removed it, where no other map can be meant.
    case hardware = 4
    /// It follows from overlap, reuse, task, CPU and size, as far as they go; or a device had just left the domain.
    case inferred = 5
    /// More than one domain is possible, or nothing tells any: the domain `unresolved`.
    case ambiguous = 6
    /// Whoever imported the log said that it is of a single domain.
    case assumed = 7

    /// The word for it.
    public var text: String {
        switch self {
        case .pointer: "pointer"
        case .name: "name"
        case .dma: "dma"
        case .hardware: "hardware"
        case .inferred: "inferred"
        case .ambiguous: "ambiguous"
        case .assumed: "assumed"
        }
    }

    /// What it means, in a few words.
    public var meaning: String {
        switch self {
        case .pointer: "the event names the domain's address"
        case .name: "the event names the device"
        case .dma: "an event of the DMA API beside it names the device"
        case .hardware: "a descriptor beside the unmap names the hardware's domain id"
        case .inferred: "overlap, reuse, task, CPU and size tell it, or a device's departure before it"
        case .ambiguous: "more than one domain is possible, or nothing tells any"
        case .assumed: "--assume-single-domain"
        }
    }
}

/// What stands beside the maps and unmaps of a log and tells of their domains.
struct Clue {
    enum Kind {
        /// A command for a range of one hardware domain, first and last byte.
        case range(hardwareDomain: Int64, first: UInt64, last: UInt64)
        /// A command for all of a hardware domain.
        case whole(hardwareDomain: Int64)
        /// A command for everything.
        case global
        /// The DMA API mapped for a device: at this address, or `nil` for all maps that the task has just made.
        case mapped(device: Int32, address: UInt64?)
        /// The DMA API unmapped for a device.
        case unmapped(device: Int32, address: UInt64?)
        /// A device has left a hardware domain.
        case left(hardwareDomain: Int64)
        /// A device has moved, wherever to.
        case moved(device: Int32)
    }

    var kind: Kind
    var line: Int64
    var time: Int64
    var cpu: Int32
    var task: Int32
}

/// Domains that maps and unmaps may belong to.
enum Label: Hashable {
    /// The domain of a hardware's id.
    case hardware(Int64)
    /// The domain of a device.
    case device(Int32)
}

/// A domain as the resolver gives it to an operation.
struct Verdict {
    /// Index of the label; `nil` if it is not known.
    var label: Int?
    var grade: Grade
}

/// A map whose domain turned out to be another one, after it was handed on.
public struct Correction: Sendable {
    /// Id of its operation.
    public var operation: Int64
    /// Number of the domain.
    public var domain: Int32
    /// How that is known.
    public var grade: Grade
}
