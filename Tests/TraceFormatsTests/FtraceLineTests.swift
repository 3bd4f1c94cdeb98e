import Foundation
import TestSupport
import Testing

@testable import TraceFormats

/// What stands left of an event's own text (model.md §7.3).
struct FtraceLineTests {
    /// A parsed line as plain values.
    struct Parsed: Equatable {
        var comm: String
        var pid: Int32
        var cpu: Int32
        var time: Int64
        var name: String
        var body: String
    }

    static func parse(_ text: String) throws(LineError) -> Parsed {
        var text = text
        let result = text.withUTF8 { bytes -> Result<Parsed, LineError> in
            do throws(LineError) {
                let line = try FtraceLine.read(UnsafeRawBufferPointer(bytes))
                let body = UnsafeBufferPointer(start: line.body.position, count: line.body.remaining)
                return .success(
                    Parsed(
                        comm: String(decoding: line.comm, as: UTF8.self), pid: line.pid, cpu: line.cpu, time: line.time,
                        name: String(decoding: line.name, as: UTF8.self), body: String(decoding: body, as: UTF8.self)))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    static func reason(_ text: String) -> ParseIssue.Reason? {
        do throws(LineError) {
            _ = try parse(text)
            return nil
        } catch {
            return error.reason
        }
    }

    private static let expected = Parsed(
        comm: "dd", pid: 264, cpu: 3, time: 25_919_828_000, name: "map", body: "IOMMU: iova=0x1")

    @Test(
        "the flags' width and the group id differ by kernel and option",
        arguments: [
            "              dd-264   [003] ....    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003] ....    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003] d.h1.    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003] ..Zff    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003] .......    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003]     25.919828: map: IOMMU: iova=0x1",
            "              dd-264   [003]    25.919828: map:                  IOMMU: iova=0x1",
            "              dd-264     [003]    25.919828: iommu:map: IOMMU: iova=0x1",
            "              dd-264     (    264) [003] d.h1.    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     (-------) [003] d.h1.    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     (    264) [003]    25.919828: map: IOMMU: iova=0x1",
            "              dd-264     [003] d.h1.    25.919828000: map: IOMMU: iova=0x1",
            "              dd-264   [3] ....1 25.919828: map: IOMMU: iova=0x1",
            "              dd-264   [003]    25.919828: (+809)   map:                  IOMMU: iova=0x1",
            "              dd-264   [003]    25.919828:          map:                  IOMMU: iova=0x1",
        ])
    func prefixes(line: String) throws {
        #expect(try Self.parse(line) == Self.expected)
    }

    @Test("flags that begin with digits and points are no time")
    func flagsLikeNumbers() throws {
        let line = try Self.parse("              dd-264     [003] 1.2.3    25.919828: map: x")
        #expect(line.time == 25_919_828_000)
        #expect(line.name == "map")
    }

    @Test(
        "a task's name may hold anything",
        arguments: [
            "<...>", "<idle>", "kworker/u64:0", "kworker/0:1H", "gst-launch-1.0", "busybox io-7 x", "(udev-worker)",
            "irq/26-AMD-Vi", "[kthreadd]", "a [000] b", "x-1 [000] y", "7-7 [7] 7.7: 7:", "a: map: IOMMU:", "-", "--",
            "ends in space ", "日本語",
        ])
    func taskNames(comm: String) throws {
        let padding = String(repeating: " ", count: 16 - comm.utf8.count)
        for (pid, flags) in [(12345, "....1 "), (1_234_567, "d.h1. "), (0, ""), (7, "(      7) ..... ")] {
            // The group id stands before the CPU.
            let group = flags.hasPrefix("(") ? "(      7) " : ""
            let rest = flags.hasPrefix("(") ? "..... " : flags
            let line = "\(padding)\(comm)-\(pid) \(group)[011] \(rest)  327.753942: unmap: text"
            let parsed = try Self.parse(line)
            let name = comm.drop { $0 == " " }
            #expect(
                parsed
                    == Parsed(
                        comm: String(name), pid: Int32(pid), cpu: 11, time: 327_753_942_000, name: "unmap", body: "text"
                    ))
        }
    }

    @Test(
        "a re-indented line is the same line",
        arguments: ["", " ", "    ", "                          "])
    func indentation(spaces: String) throws {
        let line = "gst-launch-1.0-606     [000] .N...   714.634891: unmap: IOMMU: iova=0xeb700000 size=4096"
        #expect(
            try Self.parse(spaces + line)
                == Parsed(
                    comm: "gst-launch-1.0", pid: 606, cpu: 0, time: 714_634_891_000, name: "unmap",
                    body: "IOMMU: iova=0xeb700000 size=4096"))
    }

    @Test(
        "the longest names of tasks and the shortest lines hold when re-indented",
        arguments: [("busybox io-7 xy", 1_234_567), ("a", 1), ("x-1 [000] y", 5)])
    func indentationOfExtremes(comm: String, pid: Int) throws {
        let parsed = try Self.parse("\(comm)-\(pid) [0] 1.000000: m: x-1 [000] .... 2.000000: unmap: IOMMU:")
        #expect(parsed.comm == comm)
        #expect(parsed.time == 1_000_000_000)
        #expect(parsed.name == "m")
    }

    @Test(
        "a marker whose text looks like an event stays a marker",
        arguments: [
            "              sh-99      [001] .....    23.562301: tracing_mark_write: ",
            "sh-99      [001] .....    23.562301: tracing_mark_write: ",
            "  sh-99 [001] 23.562301: print: ",
            "              sh-99      (     99) [001] .....    23.562301: tracing_mark_write: ",
        ],
        [
            "dd-264     [000] .....    25.919828: map: IOMMU: iova=0x1 size=4096",
            "              dd-264     [000] .....    25.919828: map: IOMMU: iova=0x1 size=4096",
            "-1 [0] 1.000000: unmap: IOMMU: iova=0x1 size=4096 unmapped_size=4096",
        ])
    func markers(prefix: String, text: String) throws {
        let parsed = try Self.parse(prefix + text)
        #expect(parsed.comm == "sh")
        #expect(parsed.time == 23_562_301_000)
        #expect(["tracing_mark_write", "print"].contains(parsed.name))
        #expect(parsed.body == String(text.drop { $0 == " " }))
    }

    @Test("nanoseconds are kept")
    func nanoseconds() throws {
        #expect(try Self.parse("dd-347   [000]    48.336671633: unmap: x").time == 48_336_671_633)
        #expect(try Self.parse("dd-347   [000]    48.000000001: unmap: x").time == 48_000_000_001)
        #expect(try Self.parse("dd-347   [000]  1795344705.391377: unmap: x").time == 1_795_344_705_391_377_000)
    }

    @Test(
        "a bare count is kept as a count",
        arguments: [
            "              <idle>-0       [001] d.H1.            6: unmap: IOMMU: iova=0x1",
            "              <idle>-0       [001] d.h1.  64607052968: unmap: IOMMU: iova=0x1",
            "              <idle>-0       [001]  64607052968: unmap: IOMMU: iova=0x1",
        ])
    func counterClocks(line: String) throws {
        let bytes = Array(line.utf8)
        let parsed = try bytes.withUnsafeBytes { bytes throws(LineError) in try FtraceLine.read(bytes) }
        #expect(parsed.clock == .ticks)
        #expect([6, 64_607_052_968].contains(parsed.time))
    }

    @Test("values beyond what Linux has are told apart from garbage")
    func ranges() {
        #expect(Self.reason("dd-1 [0] 9223372035.999999: map: x") == nil)
        #expect(Self.reason("dd-1 [0] 9223372036.000000: map: x") == .timeOutOfRange)
        #expect(Self.reason("dd-1 [0] 18446744073709551615.000000: map: x") == .timeOutOfRange)
        #expect(Self.reason("dd-1 [8191] 1.000000: map: x") == nil)
        #expect(Self.reason("dd-1 [8192] 1.000000: map: x") == .cpuOutOfRange)
        #expect(Self.reason("dd-1 [18446744073709551615] 1.000000: map: x") == .cpuOutOfRange)
        #expect(Self.reason("dd-2147483647 [0] 1.000000: map: x") == nil)
        #expect(Self.reason("dd-2147483648 [0] 1.000000: map: x") == .notAnEvent)
        #expect(Self.reason("dd-1 [0] 18446744073709551616.000000: map: x") == .notAnEvent)
    }

    @Test(
        "other texts are no events",
        arguments: [
            "", " ", "-", "                ", "                -", "                -1", "hello", "dd-264",
            "dd-264 [003]", "dd-264 [003] ....", "dd-264 [003] .... 1.000000", "dd-264 [003] .... 1.000000:",
            "dd-264 [003] .... 1.000000: map", "dd-264 [003] .... 1.000000: : x", "dd-264 [003] .... 1.0000000: map: x",
            "dd-264 [003] .... 1.00000: map: x", "dd-264 [003] .... 1.: map: x", "dd-264 [003] .... .000001: map: x",
            "dd-264 [x] .... 1.000000: map: x", "dd-264 [3 .... 1.000000: map: x", "dd-264 (12 [3] 1.000000: map: x",
            "dd 264 [003] .... 1.000000: map: x", "dd-264 [003] .... 1.000000:map: x",
            "dd-264 [003] .... 1.000000: a-b: x", "dd-264 [003] .... 1.000000: iommu:a b: x",
            "\tdd-264", "map: IOMMU: iova=0x00000000fff34000 size=4096",
            "      <idle>-0         1d.h1. 46233us!: unmap: IOMMU: iova=0x1 size=4096",
            "0 0 29055039274 type: 1148", "sixteen bytes are-264 [003] .... 1.000000: map: x",
            "[  236.898865] iommu: map: iova 0xfcbbf000 pa 0x00000008b2f33000 size 0x1000",
        ])
    func noEvents(line: String) {
        #expect(Self.reason(line) == .notAnEvent)
    }

    @Test("a dash in column 17 of a line without a task there does not hide the event")
    func dashInColumn17() throws {
        // Re-indented, with the group id's dashes where an untouched line has the one before the task id.
        let parsed = try Self.parse("<idle>-0       (-------) [000] d.h1.    25.920777: unmap: x")
        #expect(parsed.comm == "<idle>")
        #expect(parsed.time == 25_920_777_000)
    }

    @Test("a line that begins with a dash has a task without a name")
    func noName() throws {
        #expect(try Self.parse("                -12      [000] .....   714.634398: unmap: x").comm == "")
    }

    @Test(
        "published logs read the same whatever their indentation",
        .enabled(if: SharedTraces.areThere, "needs ../shared/traces"),
        arguments: SharedTraces.found)
    func published(log: RecordedLog) throws {
        let text = try String(contentsOf: log.url, encoding: .utf8)
        let hasTimes = ["io-page-fault", "use-after-unmap", "high-iova", "vfio-iommu-map-unmap"]
            .contains { log.name.contains($0) }
        for line in text.split(separator: "\n") where hasTimes {
            let bare = String(line.drop { $0 == " " })
            let parsed = try Self.parse(String(line))
            #expect(try Self.parse(bare) == parsed)
            #expect(try Self.parse("    " + bare) == parsed)
            // Nothing but the name of the task may differ from what a plain split of the line tells.
            let words = bare.split(separator: " ").map(String.init)
            let dash = try #require(words[0].lastIndex(of: "-"))
            #expect(parsed.comm == String(words[0][..<dash]))
            #expect("\(parsed.pid)" == words[0][words[0].index(after: dash)...])
            #expect(words.contains(parsed.name + ":"))
        }
    }
}
