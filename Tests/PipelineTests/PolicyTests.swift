import FlushSchedules
import IOMMUModel
import TestSupport
import Testing

@testable import Replay
@testable import TraceStore

/// Design §4 3-8: the words for policies.
@Suite struct PolicyTests {
    // MARK: - Reading

    static let forms: [(text: String, policy: Policy, canonical: String)] = [
        ("per-page", .perPage, "per-page"),
        ("sync", .sync, "sync"),
        ("strict", .sync, "sync"),
        ("recorded", .recorded, "recorded"),
        ("vfio", .vfio, "vfio"),
        ("end", .end, "end"),
        ("fast", .fast, "fast"),
        ("lazy", .fast, "fast"),
        ("batch=1", .batch(calls: 1), "batch=1"),
        ("batch=1000000000", .batch(calls: 1_000_000_000), "batch=1000000000"),
        ("batch=0512", .batch(calls: 512), "batch=512"),
        ("queue", .queue(entries: 256, timeout: 10_000_000), "queue=256,10ms"),
        ("queue=256,10ms", .queue(entries: 256, timeout: 10_000_000), "queue=256,10ms"),
        ("queue=2,10000us", .queue(entries: 2, timeout: 10_000_000), "queue=2,10ms"),
        ("single-queue", .singleQueue(entries: 32768, timeout: 1_000_000_000), "single-queue=32768,1s"),
        ("single-queue=64,1500ms", .singleQueue(entries: 64, timeout: 1_500_000_000), "single-queue=64,1500ms"),
        ("every=1ns", .every(interval: 1), "every=1ns"),
        ("every=1000ns", .every(interval: 1000), "every=1us"),
        ("every=250us", .every(interval: 250_000), "every=250us"),
        ("every=1000ms", .every(interval: 1_000_000_000), "every=1s"),
        ("every=3600s", .every(interval: 3_600_000_000_000), "every=3600s"),
    ]

    @Test(arguments: forms) func isReadAndWrittenInOneWay(
        form: (text: String, policy: Policy, canonical: String)
    ) throws {
        let policy = try Policy(parsing: form.text)
        #expect(policy == form.policy)
        #expect(policy.canonical == form.canonical)
        #expect(try Policy(parsing: policy.canonical) == policy)
    }

    @Test func aRequestKeepsWhatWasTyped() throws {
        #expect(try Replay.Request("lazy").text == "lazy")
        #expect(try Replay.Request("lazy").policy == .fast)
        #expect(Replay.Request(.kernelQueue).text == "queue=256,10ms")
    }

    /// Whatever the numbers, the canonical form is read back as the same policy.
    @Test func canonicalFormsRoundTrip() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<2000 {
            let number = Int64.random(in: 2...1_000_000_000, using: &random)
            let units: [Int64] = [1, 1000, 1_000_000, 1_000_000_000]
            let unit = units[Int(random.next() % 4)]
            let time = Int64.random(in: 1...3_600_000_000_000 / unit, using: &random) * unit
            for policy in [
                Policy.batch(calls: number), .every(interval: time), .queue(entries: number, timeout: time),
                .singleQueue(entries: number, timeout: time),
            ] {
                #expect(try Policy(parsing: policy.canonical) == policy)
            }
        }
    }

    // MARK: - Refusing

    static let bad: [(text: String, reason: String)] = [
        ("", "is no policy"),
        ("=", "is no policy"),
        ("Sync", "is written in small letters: sync"),
        (" sync", "is no policy"),
        ("sync=", "takes nothing behind its name: sync"),
        ("sync=1", "takes nothing behind its name: sync"),
        ("per_page", "is no policy"),
        ("batch", "needs N, such as batch=64"),
        ("batch=1,2", "needs N, such as batch=64"),
        ("every", "needs T, such as every=10ms"),
        ("end=", "takes nothing behind its name: end"),
        ("queue=", "needs N,T, such as queue=256,10ms, or nothing behind it"),
        ("queue=256", "needs N,T, such as queue=256,10ms, or nothing behind it"),
        ("queue=256,10ms,1", "needs N,T, such as queue=256,10ms, or nothing behind it"),
        ("queue=256,10ms,", "needs N,T, such as queue=256,10ms, or nothing behind it"),
        ("QUEUE", "is written in small letters: queue"),
        ("queue=256,10ms=", "needs a time such as 10ms or 250us, up to an hour"),
        ("batch=", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=0", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=-1", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=+5", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=1000000001", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=99999999999999999999", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=1e3", "needs a number from 1 to 1000000000 before any comma"),
        ("batch=0x10", "needs a number from 1 to 1000000000 before any comma"),
        ("batch= 1", "needs a number from 1 to 1000000000 before any comma"),
        ("queue=1,10ms", "needs a number from 2 to 1000000000 before any comma"),
        ("single-queue=1,1s", "needs a number from 2 to 1000000000 before any comma"),
        ("queue=256,10", "needs a time such as 10ms or 250us, up to an hour"),
        ("queue=256,ms", "needs a time such as 10ms or 250us, up to an hour"),
        ("queue=256,", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=0s", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=-1s", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=1.5s", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=10MS", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=10 ms", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=1h", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=3601s", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=3600000000001ns", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=9223372036854775807s", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=9223372036854775808ns", "needs a time such as 10ms or 250us, up to an hour"),
        ("every=\u{663}s", "needs a time such as 10ms or 250us, up to an hour"),
    ]

    @Test(arguments: bad) func refusesTheRestWithAReason(text: String, reason: String) {
        let error = #expect(throws: PolicyError.self) { try Policy(parsing: text) }
        #expect(error == PolicyError(text: text, reason: reason))
        // Who has the name right needs no list of all.
        let list = reason == "is no policy" ? "\n\(Policy.grammar)" : ""
        #expect(error?.description == "policy '\(text)' \(reason)\(list)")
    }

    @Test func theGrammarNamesEveryPolicy() {
        for form in Self.forms {
            let word = form.text.prefix { $0 != "=" }
            #expect(Policy.grammar.contains(word), "\(word)")
        }
    }

    @Test func aReplayThatNamesNoPolicyShowsTheChoice() {
        #expect(Policy.defaults == [.perPage, .sync, .fast])
    }

    // MARK: - Page sizes and options

    static let sizes: [(text: String, bitmap: UInt64)] = [
        ("4K", 1 << 12), ("2M", 1 << 21), ("1G", 1 << 30), ("4K,2M,1G", 1 << 12 | 1 << 21 | 1 << 30),
        ("64K,512M", 1 << 16 | 1 << 29), ("512K,1M", 1 << 19 | 1 << 20), ("512G,1T", 1 << 39 | 1 << 40),
        ("4K,8388608T", 1 << 12 | 1 << 63), ("all", ~0xfff),
    ]

    @Test(arguments: sizes) func pageSizesReadAsTheyAreTyped(text: String, bitmap: UInt64) throws {
        let sizes = try #require(PageSizes(parsing: text))
        #expect(sizes.bitmap == bitmap)
        #expect(sizes.text == text)
    }

    @Test func pageSizesAreWrittenInOneWay() {
        #expect(PageSizes(parsing: "1G,2M,4K,4K")?.text == "4K,2M,1G")
        #expect(PageSizes(parsing: "2048K")?.text == "2M")
        #expect(PageSizes(parsing: "1024M")?.text == "1G")
    }

    @Test(arguments: [
        "", ",", "4K,", "K", "4", "4k", "4KB", "3K", "0K", "2K", "-4K", " 4K", "4K 2M", "All", "16777216T",
        "18446744073709551616K", "99999999999999999999G",
    ]) func pageSizesThatMakeNoSenseAreRefused(text: String) {
        #expect(PageSizes(parsing: text) == nil)
    }

    @Test func everySetOfPageSizesRoundTrips() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<2000 {
            let bitmap = random.next() & random.next() & random.next() & ~0xfff
            guard let sizes = PageSizes(bitmap: bitmap) else { continue }
            #expect(PageSizes(parsing: sizes.text) == sizes)
        }
        #expect(PageSizes(parsing: PageSizes.everyPowerOfTwo.text) == .everyPowerOfTwo)
    }

    /// What a policy does not depend on is no option of its replay: the same one replaces the old (design §4 17).
    @Test func optionsNameWhatThePolicyDependsOn() throws {
        let wheel: TimerWheel = try #require(TimerWheel(hz: 1000))
        let options = ReplayOptions(wheel: wheel)
        for form in Self.forms {
            let expected =
                switch form.policy {
                case .perPage, .vfio: "page-sizes=4K,2M,1G"
                case .queue, .singleQueue: "hz=1000"
                case .fast: "page-sizes=4K,2M,1G hz=1000"
                default: ""
                }
            var part = TraceSummary.make(lastTime: 7).wholePart
            #expect(options.text(for: form.policy, part) == expected)
            part.isWhole = false
            #expect(
                options.text(for: form.policy, part) == expected + (expected.isEmpty ? "" : " ") + "from=0ns to=7ns")
        }
    }
}
