import GRDB
import SeededTable

/// Which domain of a trace the hardware knew by an id, line by line: ids are given out again.
public struct HardwareDomains: Sendable {
    /// A row of `hardware_id`.
    struct Row {
        var id: Int64
        /// 0 if the log does not tell the IOMMU.
        var unit: Int64
        /// From 1, in order of the trace's domains.
        var domain: Int32
        var lines: Range<Int64>
    }

    /// Lines on which nothing changes.
    private struct Stretch {
        var firstLine: Int64
        /// 0 if it is nobody's, or could be more than one's.
        var domain: Int32
    }

    private var stretches: ContiguousArray<Stretch> = []
    /// Where those of an id and unit are. All units together are unit -1.
    private var stretchesOf = SeededTable<KeyPair, Range<Int>>()
    private static let anyUnit: Int64 = -1

    /// Of no trace: nobody has any id.
    public init() {}

    init(_ rows: [Row]) {
        var rowsOf = SeededTable<KeyPair, [Row]>()
        for row in rows where !row.lines.isEmpty {
            for unit in [row.unit, Self.anyUnit] {
                let index = rowsOf.index(of: Self.key(row.id, unit), adding: [])
                rowsOf[at: index].append(row)
            }
        }
        for entry in rowsOf.entries {
            let first = stretches.count
            addStretches(of: entry.value)
            stretchesOf.set(entry.key, first..<stretches.count)
        }
    }

    /// Reads those of a trace.
    init(_ database: Database, trace: Int64, firstDomain: Int64) throws {
        self.init(
            try GRDB.Row.fetchAll(
                database,
                sql: """
                    SELECT hardware_domain, coalesce(unit, 0), domain, first_line, coalesce(end_line, ?2)
                    FROM hardware_id WHERE trace = ?1 ORDER BY id
                    """, arguments: [trace, Int64.max]
            ).map { row in
                let (first, end): (Int64, Int64) = (row[3], row[4])
                return Row(
                    id: row[0], unit: row[1], domain: Int32(truncatingIfNeeded: (row[2] as Int64) - firstDomain),
                    lines: first..<max(first, end))
            })
    }

    private mutating func addStretches(of rows: [Row]) {
        let changes = rows.flatMap { [($0.lines.lowerBound, $0.domain, 1), ($0.lines.upperBound, $0.domain, -1)] }
            .sorted { $0.0 < $1.0 }
        var holders = SeededTable<UInt64, Int>()
        for (index, change) in changes.enumerated() {
            let holder = UInt64(UInt32(bitPattern: change.1))
            let count = (holders[holder] ?? 0) + change.2
            if count == 0 { holders.remove(holder) } else { holders.set(holder, count) }
            guard index + 1 == changes.count || changes[index + 1].0 != change.0 else { continue }
            let domain = holders.count == 1 ? holders.entries.first?.key : nil
            stretches.append(
                Stretch(firstLine: change.0, domain: Int32(truncatingIfNeeded: Int64(domain ?? 0))))
        }
    }

    private static func key(_ id: Int64, _ unit: Int64) -> KeyPair {
        KeyPair(UInt64(bitPattern: id), UInt64(bitPattern: unit))
    }

    /// Whose a hardware's id is on a line of the log.
    ///
    /// - Parameter unit: the IOMMU, as in ``StoredLayer/unit``; 0 if that is not known: then what all that know the id agree on.
    /// - Returns: number of the domain, from 1, in order of the trace's; 0 if that is not known.
    public func domain(of id: Int64, unit: Int64 = 0, line: Int64) -> Int32 {
        if unit > 0 {
            for unit in [unit, 0] {
                let domain = find(Self.key(id, unit), line)
                if domain > 0 { return domain }
            }
            return 0
        }
        return find(Self.key(id, Self.anyUnit), line)
    }

    private func find(_ key: KeyPair, _ line: Int64) -> Int32 {
        guard let range = stretchesOf[key] else { return 0 }
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if stretches[middle].firstLine <= line { low = middle + 1 } else { high = middle }
        }
        return low > range.lowerBound ? stretches[low - 1].domain : 0
    }
}
