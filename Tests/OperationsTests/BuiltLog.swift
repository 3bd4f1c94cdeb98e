import TestSupport
import TraceFormats

@testable import Operations

/// What a log becomes, as plain values.
struct BuiltLog {
    var operations: Rows<Operation>
    var layers: Rows<Layer>
    var markers: [Marker]
    var losses: [LostEvents]
    var issues: [ParseIssue]
    var domains: Rows<Domain>
    var hardwareIDs: [HardwareID]
    var corrections: [Correction]
    var tasks: [OperationBuilder.Task]
    var devices: [String]
    var units: [String]
    var totals: OperationBuilder.Totals
    var eventCounts: [OperationBuilder.EventCount]

    /// Reads a log in the shorthand of ``FtraceText/expand(_:)``.
    init(_ shorthand: String) throws { try self.init(text: FtraceText.expand(shorthand)) }

    init(text: String) throws { try self.init(bytes: Array(text.utf8)) }

    init(bytes: [UInt8], ticksPerSecond: UInt64? = nil) throws {
        let folder = try TemporaryFolder()
        try self.init(path: folder.write(bytes, to: "log.txt"), ticksPerSecond: ticksPerSecond)
    }

    init(path: String, ticksPerSecond: UInt64? = nil) throws {
        var reader = try TraceReader(LogFile(path: path), ticksPerSecond: ticksPerSecond)
        let batch = EventBatch()
        var builder = OperationBuilder()
        var issues: [ParseIssue] = []
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            builder.add(batch)
            issues += batch.issues + builder.takeIssues()
        }
        builder.finish()
        operations = Rows(Array(builder.operations), missing: Operation(.marker))
        layers = Rows(Array(builder.layers), missing: Layer(.otherDescriptor))
        markers = builder.markers
        losses = builder.losses
        self.issues = issues + builder.takeIssues()
        domains = Rows(Array(builder.domains), missing: Domain(pointer: 0, generation: -1))
        hardwareIDs = builder.hardwareIDs
        corrections = builder.corrections
        tasks = Array(builder.tasks)
        devices = Array(builder.devices)
        units = Array(builder.units)
        totals = builder.totals
        eventCounts = builder.eventCounts
    }

    /// Kinds in order, by name.
    var kinds: [String] { operations.map(\.kind.text) }

    /// Operations of these kinds.
    func all(_ kinds: Operation.Kind...) -> [Operation] { operations.filter { kinds.contains($0.kind) } }

    /// The name of an operation's domain; empty for none.
    func domainName(_ operation: Operation) -> String {
        operation.domain > 0 ? domains[Int(operation.domain) - 1].name : ""
    }

    /// Layers of an operation, by name.
    func layers(of operation: Operation) -> [String] {
        layers.filter { $0.flush == operation.id }.map(\.kind.text)
    }

    func domain(_ name: String) -> Domain? { domains.first { $0.name == name } }
}

/// µs of the shorthand as ns of the trace clock.
func at(_ microseconds: Int64) -> Int64 { 100_000_000_000 + microseconds * 1000 }
