import GRDB
import TraceStore

/// What a log itself says about times, and the cost file that follows from it.
///
/// No event marks the completion of anything, so every figure is a bound (report `calibration`). A constant is replaced where the
/// log bounds it from above: low, typical and high are p10, p50 and p90 of that bound.
public struct Calibration: Sendable {
    /// Fewer than this make no p10 and p90.
    public static let fewest: Int64 = 10

    /// The trace.
    public let trace: String
    /// The constants that the log bounds.
    public let constants: [CostConstant]
    /// The constants that it does not.
    public let left: [CostConstant.Name]
    private let stampsAreWholeMicroseconds: Bool

    /// Reads the lengths in a trace.
    ///
    /// - Parameter name: the trace; `nil` for the newest.
    /// - Throws: ``CalibrationError`` if the log holds no flush with what the hardware was told.
    public init(from store: TraceStore, trace name: String?) throws {
        let report = try Report.required("calibration")
        (trace, constants, stampsAreWholeMicroseconds) = try store.read { database in
            let trace = try TraceSummary(database, name: name, path: store.path)
            let rows = try Row.fetchAll(
                database, sql: report.sql, arguments: report.arguments(trace: trace.name, by: nil, nil))
            guard rows.contains(where: { $0.string("bound") == "lower" }) else {
                throw CalibrationError.withoutFlushTimes(trace: trace.name)
            }
            let isCoarse = try Bool.fetchOne(
                database,
                sql: "SELECT NOT EXISTS (SELECT 1 FROM operation WHERE id >= ? AND id < ? AND time_ns % 1000 <> 0)",
                arguments: [trace.operationIDs.lowerBound, trace.operationIDs.upperBound])
            // Of two bounds from above the lower one is the closer.
            var bounded: [CostConstant.Name: CostConstant] = [:]
            for constant in rows.flatMap({ Self.constants(of: $0, in: trace.name) }) {
                if let other = bounded[constant.name], other.typical <= constant.typical { continue }
                bounded[constant.name] = constant
            }
            return (trace.name, CostConstant.Name.allCases.compactMap { bounded[$0] }, isCoarse ?? false)
        }
        let replaced = Set(constants.map(\.name))
        left = CostConstant.Name.allCases.filter { !replaced.contains($0) }
    }

    /// What a row of the report bounds.
    static func bound(_ row: Row) -> String {
        let bounds = row.string("bounds").replacing(", ", with: " with its ")
        return "\(row.string("bound")) bound of \(bounds)"
    }

    /// The constants that a row of the report bounds.
    private static func constants(of row: Row, in trace: String) -> [CostConstant] {
        guard let names = row["constants"] as String?, (row["n"] as Int64) >= fewest else { return [] }
        // In SQL a difference of times that no 64 bits hold becomes a REAL.
        let (low, typical, high): (Double, Double, Double) = (row["p10_ns"], row["p50_ns"], row["p90_ns"])
        let source =
            "calibrated from \(trace): n = \(row["n"] as Int64), p10, p50, p90 of '\(row["measure"] as String)', an "
            + bound(row)
        return names.split(separator: ", ").compactMap { CostConstant.Name(rawValue: String($0)) }.map {
            CostConstant(
                $0, low: min(low, CostFile.longest), typical: min(typical, CostFile.longest),
                high: min(high, CostFile.longest), evidence: .inferred, source: source,
                file: "calibrated from \(trace)")
        }
    }

    /// Writes the lengths, and what they are bounds of.
    public func write(from store: TraceStore, to output: TextOutput) throws {
        let report = try Report.required("calibration")
        output.say("How long the steps took in \(trace), ns")
        output.say("")
        try report.write(from: store, trace: trace, by: nil, format: .table, to: output)
        output.say("")
        for note in notes { output.say("note: \(note)") }
    }

    private var notes: [String] {
        var notes = [
            "no event marks a completion: each length is a bound of what stands beside it, and holds the probes' own time",
            "these are figures of the machine that wrote this log: under emulation, or with slow probes, far above others'",
        ]
        if stampsAreWholeMicroseconds {
            notes.append("stamps are in whole microseconds: each length may be off by up to 1000 ns")
        }
        let replaced = constants.map(\.name.rawValue)
        notes.append(
            replaced.isEmpty
                ? "bounds no constant: fewer than \(Self.fewest) of each sort"
                : "bounds from above (low = p10, typical = p50, high = p90): \(replaced.joined(separator: ", "))")
        notes.append("not bounded by this log, as built in: \(left.map(\.rawValue).joined(separator: ", "))")
        if replaced.contains("sync") != replaced.contains("flush_all") {
            notes.append(
                "of sync and flush_all one is this machine's and one is not: what report costs says is saved mixes both"
            )
        }
        return notes
    }

    /// The built-in cost file with what the log bounds.
    public func costFile() throws -> CostFile {
        var file = try CostFile.builtIn()
        file.replace(with: constants)
        return file
    }

    /// Writes a cost file, for `report costs --cost`.
    public func writeCostFile(to output: TextOutput) throws {
        output.say("# Constants for: iommu-trace report costs --cost FILE")
        output.say("# name, low, typical, high (ns), evidence, source")
        for note in notes { output.say("# \(note)") }
        output.print(try costFile().text, terminator: "")
    }
}

extension CostFile {
    /// Writes the built-in cost file with its comments, to be edited.
    public static func writeBuiltIn(to output: TextOutput) { output.print(builtInText, terminator: "") }
}

/// Why a log calibrates nothing.
public enum CalibrationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It does not hold both flushes of the API and what they did at the hardware.
    case withoutFlushTimes(trace: String)

    /// What is missing, and how to record it.
    public var description: String {
        switch self {
        case .withoutFlushTimes(let trace):
            """
            \(trace): holds no sync or flush_all together with the hardware flush that follows it, so it bounds no time; \
            record function probes on both (docs/recording.md): sync on the driver's iotlb_sync, hw_flush on what it calls, \
            or events/intel_iommu/qi_submit
            """
        }
    }
}
