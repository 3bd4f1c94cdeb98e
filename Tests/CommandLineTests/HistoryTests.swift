import Foundation
import Testing

/// `history`: what happened to an address, as it goes into a mail.
@Suite struct HistoryTests {
    private let folder: TemporaryFolder
    private static let domain = FtraceLog.domains[0]

    init() throws {
        folder = try TemporaryFolder()
        var log = FtraceLog(calls: 0)
        for event in [
            "map: (__iommu_map+0x5/0x2a0) domain=\(Self.domain) iova=0xfe980000 paddr=0x10ec80000 size=8192 prot=0x7",
            "unmap_fast: (iommu_unmap_fast+0x5/0x10) domain=\(Self.domain) iova=0xfe980000 size=8192 queued=0",
            "unmapped: (iommu.unmap) iova=0xfe980000 size=8192 unmapped=8192",
            "sync: (intel_iommu_tlb_sync+0x5/0xf0) domain=\(Self.domain) start=0xfe980000 end=0xfe981fff pgsize=4096",
            "io_page_fault: IOMMU:nvme 0000:00:03.0 iova=0xfe981040 flags=0x0001",
            "map: (__iommu_map+0x5/0x2a0) domain=\(Self.domain) iova=0xfe980000 paddr=0x20ec80000 size=8192 prot=0x7",
        ] { log.add(event, task: "f\u{1b}[31mo") }
        for _ in 0..<3000 { log.add("tracing_mark_write: later") }
        try folder.write(log.text, to: "log.txt")
        #expect(try run("import", "log.txt").exitCode == 0)
        #expect(try run("replay", "-p", "strict", "-p", "lazy", "--windows", "all").exitCode == 0)
    }

    private func run(_ arguments: String...) throws -> Tool.Result { try Tool.run(arguments, directory: folder) }

    @Test(arguments: [
        "0xfe981000", "4271378432", "0xfe981000+4096", "0xfe981000+4K", "0xfe981000-0xfe982000",
        "0XFE981000 - 0xfe981abc",
    ])
    func addresses(address: String) throws {
        let result = try run("history", address, "--format", "csv")
        #expect(result.exitCode == 0)
        #expect(result.errors == "")
        let records = result.records
        let columns = try #require(records.first)
        let rows = records.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(columns, $0)) }
        #expect(rows.map { $0["what"] } == ["map", "unmap_fast", "flush", "flush", "io_page_fault", "map", "flush"])
        #expect(rows.map { $0["policy"] } == ["", "", "sync", "as logged", "", "", "queue=256,10ms"])
        #expect(rows.map { $0["since_ns"] } == ["", "14000", "0", "7000", "14000", "21000", rows.last?["since_ns"]])
        #expect(rows[5]["page"] == "other" && rows[5]["before"] == "unmapped")
        #expect(rows[4]["access"] == "write" && rows[4]["before"] == "unmapped")
        #expect(rows.last?["note"] == "timer")
        #expect(try #require(Int64(rows.last?["since_ns"] ?? "")) > 10_000_000)
        #expect(rows.allSatisfy { $0["evidence"] != "" })
    }

    @Test("a table is for people: exact times, no control characters")
    func table() throws {
        let result = try run("history", "0xfe980000+8K", "--policy", "strict")
        #expect(result.exitCode == 0)
        #expect(result.output.hasPrefix("History of 0xfe980000-0xfe981fff\n\nin log:\n\n"))
        for words in [
            "25.241840000", "14 us", "flush, as logged", "0x10ec80000", "log.txt:", "another page than before",
            "write, after the unmap",
        ] {
            #expect(result.output.contains(words), "\(words)")
        }
        #expect(!result.output.contains("queue="))
        #expect(!result.output.contains("\u{1b}"))
    }

    @Test("an address that the log does not have: said, with the nearest mappings")
    func nothing() throws {
        let result = try run("history", "0x1000")
        #expect(result.exitCode == 0)
        #expect(result.output == "")
        #expect(result.errors.contains("no operation is about 0x1000-0x1000\n"))
        #expect(result.errors.contains("nearest above, 1042815 pages away: 0xfe980000, 8192 bytes, mapped by f"))
        #expect(!result.errors.contains("nearest below"))
        #expect(!result.errors.contains("\u{1b}"))
        let other = try run("history", "0xffffffffffffffff", "--format", "json")
        #expect(try other.objects().isEmpty)
        #expect(other.errors.contains("nearest below"))
    }

    @Test("only the latest are told where there are many, and how many are not")
    func limit() throws {
        let result = try run("history", "0xfe980000", "--limit", "1", "--format", "csv")
        #expect(result.records.count == 2)
        #expect(result.errors == "2 earlier operations are left out (--limit)\n")
    }

    @Test(arguments: [
        ("0xq", "history 0xq: give an address"), ("", "give an address"), ("5-5", "give an address"),
        ("7-3", "give an address"),
        ("1+0", "give an address"), ("0xffffffffffffffff+2", "give an address"),
        ("18446744073709551616", "give an address"),
        ("0+99999999999G", "give an address"), ("++1", "give an address"), ("0x", "give an address"),
    ])
    func wrongAddress(address: String, message: String) throws {
        let result = try run("history", address)
        #expect(result.exitCode == 2)
        #expect(result.output == "")
        #expect(result.errors.contains(message))
    }

    @Test func wrongNames() throws {
        for (option, value, message) in [
            ("--domain", "nosuch", "no domain is called 'nosuch'"),
            ("--trace", "nosuch", "no trace is called 'nosuch'"),
            ("--policy", "vfio", "nothing was replayed under 'vfio': replay --policy vfio"),
            ("--limit", "0", "--limit 0: give a number"),
        ] {
            let result = try run("history", "0xfe980000", option, value)
            #expect(result.exitCode == 2)
            #expect(result.errors.contains(message), "\(result.errors)")
        }
    }
}
