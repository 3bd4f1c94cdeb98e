import Foundation
import GRDB
import Ingest
import TestSupport
import Testing
import TraceFormats
import TraceStore

/// One recording gives the same operations as text, as report, and in both file versions of trace-cmd.
struct RecordingTests {
    /// An operation or a layer: what it is, and when.
    private struct Row {
        var what: String
        var cpu: Int64
        var time: Int64
    }

    private static func rows(_ sql: String, _ store: TraceStore) throws -> [Row] {
        try store.read { database in
            try GRDB.Row.fetchAll(database, sql: sql).map { row in
                Row(
                    what: row.databaseValues.dropLast().map { "\($0)" }.joined(separator: " "), cpu: row["cpu"],
                    time: row["time_ns"])
            }
        }
    }

    private static let operations = """
        SELECT operation.kind, domain.name, iova, size, result, paddr, cpu, pid, comm, device.name, operation.detail,
            since_entry_ns IS NULL, flags, time_ns
        FROM operation JOIN task ON task.id = task LEFT JOIN domain ON domain.id = operation.domain
            LEFT JOIN device ON device.id = operation.device
        ORDER BY operation.id
        """
    private static let layers = """
        SELECT layer.kind, cpu, pid, cause, unit.name, device.name, layer.hardware_domain, granularity, address, mask, flags,
            flush IS NULL, time_ns
        FROM layer JOIN task ON task.id = task LEFT JOIN unit ON unit.id = unit LEFT JOIN device ON device.id = device
        ORDER BY layer.id
        """

    /// Times of the text are cut to µs. Where the ring buffer holds a record that was taken back, the kernel's own text is
    /// wrong about the times, and by them about the order, until the next full stamp: it forgets that record's share.
    private static func expectEqual(_ recording: [Row], _ text: [Row], _ name: String) {
        #expect(recording.count == text.count)
        func byCPU(_ rows: [Row]) -> [Int64: [Row]] { Dictionary(grouping: rows) { $0.cpu } }
        let (left, right) = (byCPU(recording), byCPU(text))
        #expect(left.keys.sorted() == right.keys.sorted())
        var late = 0
        for (cpu, rows) in left {
            let others = right[cpu] ?? []
            #expect(rows.map(\.what) == others.map(\.what), "\(name), CPU \(cpu)")
            late += zip(rows, others).count { abs($0.time - $1.time) > 1000 }
        }
        #expect(late * 1000 <= recording.count, "\(name): \(late) times differ")
        if late == 0 { #expect(recording.map(\.what) == text.map(\.what), "\(name)") }
    }

    @Test(
        "a recording's operations are those of its text", .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: SharedTraces.labRecordings)
    func sameAsText(recording: RecordedLog, text: RecordedLog) throws {
        let binary = try PreparedLogs.copy(of: recording)
        let printed = try PreparedLogs.copy(of: text)
        for log in [recording, text] {
            guard case .imported(_, isDamaged: false) = try PreparedLogs.outcome(of: log) else {
                Issue.record("\(log) is damaged")
                continue
            }
        }
        let name = recording.name
        Self.expectEqual(try Self.rows(Self.operations, binary), try Self.rows(Self.operations, printed), name)
        Self.expectEqual(try Self.rows(Self.layers, binary), try Self.rows(Self.layers, printed), name)
        let counts = """
            SELECT replace(name, 'tracing_mark_write', 'print') AS event, form, understood, count FROM event_count
            ORDER BY event, form
            """
        #expect(try Pipeline.csv(counts, in: binary) == Pipeline.csv(counts, in: printed))
        #expect(try Pipeline.damage(of: binary) == [])
    }

    @Test(
        "a recording cut at every 997th byte is imported in part or refused",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"), arguments: [".dat", "v6.dat.gz"])
    func cut(ending: String) throws {
        let log = try #require(SharedTraces.labRecordings.first { $0.recording.path.hasSuffix(ending) }).recording
        let folder = try TemporaryFolder()
        let bytes = [UInt8](try Data(contentsOf: log.url))
        // Every 997th of a large file would take its time; the places move on by seven steps.
        for count in stride(from: 997, to: bytes.count, by: 997 * 7) {
            let path = try folder.write(Array(bytes[..<count]), to: "cut.dat")
            let store = try TraceStore(path: "", access: .create)
            do {
                let outcome = try Pipeline.importLog(path, into: store)
                guard case .imported(_, isDamaged: true) = outcome else {
                    Issue.record("cut at \(count): no damage seen")
                    continue
                }
            } catch is LogError {
            } catch is ImportError {
            }
        }
    }
}
