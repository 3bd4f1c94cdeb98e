import Foundation
import GRDB
import TestSupport
import Testing
import TraceStore

/// Recorded logs without what names their domains, against what named them. `tools/checks/resolver-check` does the same with more
/// words.
struct ResolverLabTests {
    struct Aim: Sendable, CustomStringConvertible {
        var log: String
        var percent: Double
        var description: String { log }
    }

    private static let aims = [
        Aim(log: "6.1-strict/mixed.probes", percent: 99), Aim(log: "6.1-strict/nvme.probes", percent: 99),
        Aim(log: "6.1-lazy/mixed.probes", percent: 90),
    ].filter { SharedTraces.log($0.log) != nil }

    @Test("of probes without their pointers the resolver finds the domains", arguments: aims)
    func probes(aim: Aim) throws {
        let whole = try PreparedLogs.copy(of: #require(SharedTraces.log(aim.log)))
        let truth = try whole.read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT operation.kind = 1, time_ns, operation.cpu, task.comm, task.pid, iova, size, coalesce(result, size),
                        coalesce(paddr, 0), domain.name, 0 AS layer, operation.line
                    FROM operation JOIN task ON task.id = operation.task JOIN domain ON domain.id = operation.domain
                    WHERE operation.kind IN (1, 2, 3)
                    UNION ALL
                    SELECT granularity, time_ns, layer.cpu, task.comm, task.pid, coalesce(address, 0), mask, hardware_domain,
                        0, '', 1, layer.line
                    FROM layer JOIN task ON task.id = layer.task WHERE layer.kind = 11
                    ORDER BY 12
                    """)
        }
        let folder = try TemporaryFolder()
        var domains: [String] = []
        var text = ""
        for row in truth {
            let (time, cpu, comm, pid) = (row[1] as Int64, row[2] as Int64, row[3] as String, row[4] as Int64)
            let (first, size) = (row[5] as Int64, row[6] as Int64? ?? 0)
            let start =
                "\(comm)-\(pid) [\(String(format: "%03d", cpu))] ..... \(time / 1_000_000_000)."
                + String(format: "%06d", time / 1000 % 1_000_000)
            if row[10] as Int64 == 1 {
                let word = (row[7] as Int64) << 16 | (row[0] as Int64) << 4 | 0xc2
                text += "\(start): qi_submit: iotlb_inv dmar0: \(hex(word)) \(hex(first | size)) 0x0 0x0\n"
                continue
            }
            domains.append(row[9])
            let range = "IOMMU: iova=\(hex(first)) - \(hex(first + size))"
            text +=
                row[0] as Bool
                ? "\(start): map: \(range) paddr=\(hex(row[8])) size=\(size)\n"
                : "\(start): unmap: \(range) size=\(size) unmapped_size=\(row[7] as Int64)\n"
        }
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(folder.write(text, to: "twin.txt"), into: store)
        let found = try store.read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT domain.name, coalesce(grade.name, 'pointer') FROM operation
                    JOIN domain ON domain.id = operation.domain LEFT JOIN grade ON grade.id = operation.grade
                    WHERE operation.kind IN (1, 2, 3) ORDER BY operation.id
                    """
            ).map { (name: $0[0] as String, grade: $0[1] as String) }
        }
        #expect(found.count == domains.count)

        var counts: [String: [String: Int]] = [:]
        for (pair, domain) in zip(found, domains) where pair.grade != "ambiguous" {
            counts[pair.name, default: [:]][domain, default: 0] += 1
        }
        let meant = counts.compactMapValues { $0.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key }
        #expect(Set(meant.values).count == meant.count, "each domain is found once")
        let right = zip(found, domains).filter { $0.0.grade != "ambiguous" && meant[$0.0.name] == $0.1 }
        #expect(Double(right.count) * 100 >= Double(domains.count) * aim.percent)
        let firm = zip(found, domains).filter { $0.0.grade == "hardware" }
        #expect(firm.allSatisfy { meant[$0.0.name] == $0.1 }, "what is wrong is inferred at most")
    }

    /// What stock tracepoints tell of a log: who unmapped how much, and what the domain is for.
    struct Kind: Sendable, CustomStringConvertible {
        var log: String
        /// The owner's domain by its hardware id; `nil` where only the DMA API is at work.
        var owner: String?
        var description: String { log }
    }

    private static let kinds =
        (["6.19-strict", "7.3-strict", "7.3-lazy", "7.3-flts-strict"].map {
            Kind(log: $0 + "/rebind.events", owner: "hw:9")
        }
        + ["6.1-lazy", "6.19-strict", "7.3-strict", "7.3-lazy"].map {
            Kind(log: $0 + "/vfiokill.events", owner: "hw:8")
        }
        + ["fdkill", "fdclose", "fdunmap"].map { Kind(log: "7.3-iommufd-strict/\($0).events", owner: "hw:8") }
        + ["7.3-strict/net", "7.3-lazy/vblk", "6.1-lazy/mixed", "6.18-lazy/nvme"].map { Kind(log: $0 + ".events") })
        .filter { SharedTraces.log($0.log) != nil }

    @Test(
        "from stock tracepoints alone: an owner's domain is found and known by its teardown, the DMA API's is not one",
        arguments: kinds)
    func owners(kind: Kind) throws {
        let store = try PreparedLogs.copy(of: #require(SharedTraces.log(kind.log)))
        let unmanaged = try store.read { database in
            try String.fetchAll(
                database, sql: "SELECT name FROM domain WHERE kind = 'unmanaged' AND kind_evidence = 'inferred'")
        }
        #expect(unmanaged == [kind.owner].compactMap { $0 })
        let others = try store.read { database in
            try Row.fetchOne(
                database,
                sql: """
                    SELECT count(*) FILTER (WHERE operation.kind = 1), count(*) FILTER (WHERE operation.kind = 2) FROM operation
                    JOIN domain ON domain.id = operation.domain WHERE operation.kind IN (1, 2) AND domain.name IS NOT ?
                    """, arguments: [kind.owner])
        }
        if kind.owner != nil {
            // Only the LPC group's direct mappings are of anyone else; they stay.
            #expect(try #require(others)[0] <= 3)
            #expect(try #require(others)[1] == 0)
        }
    }

    private func hex(_ value: Int64) -> String { "0x" + String(value, radix: 16) }

    @Test("--assume-single-domain is believed, and stored")
    func assumption() throws {
        let folder = try TemporaryFolder()
        let log = try folder.write(
            FtraceText.expand(
                """
                0 7 1 map: IOMMU: iova=0x1000 paddr=0x5000 size=4096
                0 7 5 unmap: IOMMU: iova=0x1000 size=4096 unmapped_size=4096
                0 7 6 qi_submit: iotlb_inv dmar0: 0x400f2 0x1000 0x0 0x0
                """), to: "log.txt")
        let store = try TraceStore(path: "", access: .create)
        try Pipeline.importLog(log, assumesSingleDomain: true, into: store)
        #expect(
            try Pipeline.csv(
                """
                SELECT single_domain, domain.name, evidence, mode, grade.name AS grade, domain_grade.operations
                FROM trace JOIN domain ON domain.trace = trace.id JOIN domain_grade ON domain_grade.domain = domain.id
                JOIN grade ON grade.id = domain_grade.grade
                """, in: store) == """
                    single_domain,name,evidence,mode,grade,operations
                    1,unresolved,assumed,strict,assumed,2

                    """)
    }
}
