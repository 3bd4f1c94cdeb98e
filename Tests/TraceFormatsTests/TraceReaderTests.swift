import Foundation
import TestSupport
import Testing

@testable import TraceFormats

/// A whole log: headers, announcements of lost events, events and issues with their places.
struct TraceReaderTests {
    private static let map = "map: IOMMU: iova=0x1000 paddr=0x2000 size=4096"

    @Test("the header tells how many events the buffer held and how many were written")
    func header() throws {
        let log = try ReadLog(
            FtraceText.expand(
                """
                # tracer: nop
                #
                # entries-in-buffer/entries-written: 273/44275   #P:40
                #           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
                0 7 1 \(Self.map)
                """))
        #expect(log.bufferCounts == TraceReader.BufferCounts(entries: 273, written: 44275))
        #expect(log.events.count == 1)
        #expect(log.issues.isEmpty)
        let huge = try ReadLog("# entries-in-buffer/entries-written: 1/18446744073709551615\n")
        #expect(huge.bufferCounts == nil)
    }

    @Test("each way of announcing lost events is understood, where it stands")
    func losses() throws {
        let log = try ReadLog(
            FtraceText.expand(
                """
                CPU:0 [LOST 163499 EVENTS]
                0 7 1 \(Self.map)
                CPU:3 [LOST EVENTS]
                CPU:7 [204600 EVENTS DROPPED]
                0 7 2 \(Self.map)
                CPU:12 [EVENTS DROPPED]
                ##### CPU 3 buffer started ####
                """))
        #expect(
            log.losses.map(\.loss) == [
                LostEvents(line: 1, cpu: 0, count: 163_499), LostEvents(line: 3, cpu: 3, count: nil),
                LostEvents(line: 4, cpu: 7, count: 204_600), LostEvents(line: 6, cpu: 12, count: nil),
            ])
        #expect(log.losses.map(\.precedingEvents) == [0, 1, 1, 2])
        #expect(log.issues.isEmpty)
    }

    @Test("a task may be called like a header or an announcement")
    func headerLikeTasks() throws {
        for comm in ["#tracer", "CPU:0", "cpus=6", "version = 6", "CPU:0 [LOST"] {
            let log = try ReadLog("\(comm)-7 [000] ..... 1.000000: \(Self.map)\n")
            let isTaken = log.events.first?.comm == comm
            #expect(isTaken || comm.hasPrefix("#") || comm.hasPrefix("cpus=") || comm.hasPrefix("version = "))
            // In an untouched log the name does not begin the line.
            let name = String(repeating: " ", count: 16 - comm.count) + comm
            #expect(try ReadLog("\(name)-7 [000] ..... 1.000000: \(Self.map)\n").events.first?.comm == comm)
        }
    }

    @Test("the first lines of a trace-cmd report are no issue")
    func report() throws {
        let log = try ReadLog("version = 6\ncpus=6\n              dd-347   [000]    48.337829: \(Self.map)\n")
        #expect(log.issues.isEmpty)
        #expect(log.events.first?.line == 3)
    }

    @Test("a log with CR LF line ends reads the same")
    func lineEnds() throws {
        let text = FtraceText.expand("0 7 1 \(Self.map)\n0 7 2 tracing_mark_write: text")
        let plain = try ReadLog(text)
        let other = try ReadLog(text.replacing("\n", with: "\r\n"))
        #expect(other.issues.isEmpty)
        #expect(other.events.map(\.fields) == plain.events.map(\.fields))
        #expect(other.events.last?.texts[.text] == "text")
    }

    @Test("an issue has line, offset and the line's first bytes")
    func issues() throws {
        let log = try ReadLog(
            "hello\n\n" + FtraceText.expand("0 7 1 \(Self.map)") + "\u{1b}[31m" + String(repeating: "é", count: 200))
        let line = FtraceText.expand("0 7 1 \(Self.map)").utf8.count
        #expect(log.issues.map(\.reason) == [.notAnEvent, .notAnEvent])
        #expect(log.issues.map(\.line) == [1, 4])
        #expect(log.issues.map(\.offset) == [0, Int64(7 + line)])
        #expect(log.issues[0].excerpt == "hello")
        #expect(log.issues[1].excerpt.utf8.count <= 162)
        #expect(log.lines == 4)
    }

    @Test("an overlong line is an issue and does not disturb what follows")
    func overlongLine() throws {
        let log = try ReadLog(
            String(repeating: "x", count: 1 << 20) + "\n" + FtraceText.expand("0 7 1 \(Self.map)") + "?\n")
        #expect(log.issues.map(\.reason) == [.lineTooLong, .notAnEvent])
        #expect(log.issues.map(\.line) == [1, 3])
        #expect(log.issues[0].excerpt == String(repeating: "x", count: 160))
        #expect(log.events.map(\.line) == [2])
    }

    @Test("events, issues and losses keep their order over many batches")
    func batches() throws {
        var text = ""
        let count = EventBatch.capacity * 3 + 17
        for index in 0..<count {
            text += FtraceText.line(cpu: index % 4, task: index % 5, microseconds: index, Self.map) + "\n"
            if index % 1000 == 0 { text += "CPU:1 [LOST 5 EVENTS]\n" }
            if index % 700 == 0 { text += "?\n" }
        }
        let log = try ReadLog(text)
        #expect(log.events.count == count)
        #expect(log.events.map(\.time) == (0..<count).map { 100_000_000_000 + Int64($0) * 1000 })
        #expect(log.losses.map(\.precedingEvents) == Array(stride(from: 1, through: count, by: 1000)))
        #expect(log.issues.count == (count + 699) / 700)
        #expect(log.lines == Int64(count + log.losses.count + log.issues.count))
    }

    @Test("a log of nothing but bad lines is read in bounded pieces")
    func onlyIssues() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(String(repeating: "?\n", count: 10_000), to: "log")
        var reader = try TraceReader(LogFile(path: path))
        let batch = EventBatch()
        var total = 0
        var goesOn = true
        while goesOn {
            goesOn = try reader.read(into: batch)
            #expect(batch.issues.count <= 513)
            total += batch.issues.count
        }
        #expect(total == 10_000)
    }

    @Test("events of other subsystems count but have no fields")
    func otherEvents() throws {
        let log = try ReadLog(FtraceText.expand("0 7 1 sched_switch: prev_comm=a\n0 7 2 map: bo=7 size=4096"))
        #expect(log.events.map(\.name) == ["sched_switch", "map"])
        #expect(log.events.map(\.isKnown) == [false, false])
        #expect(log.issues.isEmpty)
    }

    @Test("damage of the archive is an issue with the last line before it")
    func damage() throws {
        let text = FtraceText.expand((1...50).map { "0 7 \($0) \(Self.map)" }.joined(separator: "\n"))
        let bytes = Gzip.member(Array(text.utf8))
        let log = try ReadLog(bytes: Array(bytes[..<(bytes.count - 4)]))
        #expect(log.events.count == 50)
        #expect(log.issues.map(\.reason) == [.truncatedArchive])
        #expect(log.issues.map(\.line) == [50])
    }

    @Test("symbols of known names are the same in every log")
    func symbols() throws {
        for name in EventName.allCases {
            let event = try #require(try ReadLog.event("\(name.text): (f+0x0/0x1)"))
            #expect(event.name == name.text)
            #expect(EventName(name.symbol) == name)
        }
        #expect(Set(EventName.allCases.map(\.text)).count == EventName.allCases.count)
    }

    @Test("a log whose names do not fit the table is read on, with bounded memory")
    func manyNames() throws {
        var text = ""
        text.reserveCapacity(12 << 20)
        let count = SymbolTable.capacity + 100
        for index in 0..<count { text += "t\(index)-7 [000] 1.000000: print: x\n" }
        let log = try ReadLog(text)
        #expect(log.issues.isEmpty)
        #expect(log.events.count == count)
        #expect(log.events.first?.comm == "t0")
        #expect(log.events.last?.comm == "(more names than can be told apart)")
    }
}
