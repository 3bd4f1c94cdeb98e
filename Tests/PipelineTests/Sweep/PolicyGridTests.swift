import FlushSchedules
import Replay
import TestSupport
import Testing

@Suite struct PolicyGridTests {
    private func policies(_ texts: String...) throws -> [String] {
        try PolicyGrid(parsing: texts).policies.map(\.canonical)
    }

    @Test func numbersDouble() throws {
        #expect(try policies("batch=3..50") == ["batch=3", "batch=6", "batch=12", "batch=24", "batch=48", "batch=50"])
        #expect(try policies("batch=4..16") == ["batch=4", "batch=8", "batch=16"])
        #expect(try policies("batch=7..7") == ["batch=7"])
        #expect(try policies("batch=1..1000000000").count == 31)
    }

    @Test func timesGoOneTwoFive() throws {
        #expect(
            try policies("every=500us..20ms")
                == ["every=500us", "every=1ms", "every=2ms", "every=5ms", "every=10ms", "every=20ms"])
        #expect(try policies("every=3ms..7ms") == ["every=3ms", "every=5ms", "every=7ms"])
        #expect(try policies("every=1ns..3600s").count == 39)
    }

    @Test func equalSteps() throws {
        #expect(try policies("batch=64..4096/4") == ["batch=64", "batch=256", "batch=1024", "batch=4096"])
        #expect(
            try policies("every=1ms..100ms/5")
                == ["every=1ms", "every=3160us", "every=10ms", "every=31600us", "every=100ms"])
        // No more values than there are numbers, none twice.
        #expect(try policies("batch=2..4/400") == ["batch=2", "batch=3", "batch=4"])
        #expect(try policies("every=1s..1s/3") == ["every=1s"])
    }

    @Test func parametersAreCrossed() throws {
        #expect(
            try policies("queue=64|256..512,1ms|10ms")
                == [
                    "queue=64,1ms", "queue=64,10ms", "queue=256,1ms", "queue=256,10ms", "queue=512,1ms",
                    "queue=512,10ms",
                ])
        #expect(try policies("single-queue=16,1ms..2ms") == ["single-queue=16,1ms", "single-queue=16,2ms"])
    }

    @Test func severalGridsBecomeOneWithoutRepetition() throws {
        #expect(
            try policies("batch=1|2", "vfio", "batch=2..4", "strict", "end")
                == ["batch=1", "batch=2", "vfio", "batch=4", "sync", "end"])
        #expect(try policies("queue", "queue=256,10ms") == ["queue=256,10ms"])
    }

    @Test func canonicalTextIsTheSameForTheSameGrid() throws {
        let grid = try PolicyGrid(parsing: ["queue=064..4096,1000us..100ms/3", "batch=1|2", "strict", "batch=1|2"])
        #expect(grid.canonical == "batch=1|2 queue=64..4096,1ms..100ms/3 sync")
        let other = try PolicyGrid(parsing: ["sync", "queue=64..4096,1ms..100ms/3", "batch=1|2"])
        #expect(other.canonical == grid.canonical)
        #expect(Set(other.policies) == Set(grid.policies))
        #expect(
            try PolicyGrid(parsing: grid.canonical.split(separator: " ").map(String.init)).canonical == grid.canonical)
    }

    @Test func theStandardGridHasTheKernelsNeighbourhood() throws {
        let grid = try PolicyGrid(parsing: PolicyGrid.standard)
        #expect(grid.policies.contains(.kernelQueue))
        #expect((20...100).contains(grid.policies.count))
        #expect(Set(grid.policies).count == grid.policies.count)
    }

    @Test(arguments: [
        ("queue=4096..64,1ms", "ends before it begins: write 64..4096"),
        ("every=10ms..1ms", "ends before it begins: write 1ms..10ms"),
        ("queue=1..64,1ms", "needs a number from 2 to 1000000000"),
        ("batch=..4", "needs a number from 1"), ("batch=4..", "needs a number from 1"),
        ("batch=1...4", "needs a number from 1"), ("batch=1..2..4", "needs a number from 1"),
        ("batch=", "needs a number from 1"), ("batch=1|", "needs a number from 1"),
        ("batch=1..4/1", "needs the number of values after the slash, from 2 to 400"),
        ("batch=1..4/", "needs the number of values"), ("batch=1..4/401", "needs the number of values"),
        ("batch=1..4/99999999999999999999", "needs the number of values"), ("batch=4/2", "needs a number from 1"),
        ("every=1..100ms", "needs a time such as 10ms"), ("every=1ms..99h", "needs a time such as 10ms"),
        ("batch=1..99999999999999999999", "needs a number from 1 to 1000000000"),
        ("queue=64..4096", "needs N,T, such as queue=256,10ms"), ("vfio=1..2", "takes nothing behind its name: vfio"),
        ("nosuch=1..2", "is no policy"),
        ("", "is no policy"), ("fast", "means another schedule in each domain"), ("lazy", "means another schedule"),
    ])
    func mistakes(text: String, reason: String) throws {
        #expect {
            try PolicyGrid(parsing: ["sync", text])
        } throws: { error in
            guard let error = error as? GridError, case .unreadable(text, let own) = error else { return false }
            return own.contains(reason) && error.description.contains("NAME=A..B/N")
        }
    }

    @Test func tooManyPointsAreRefused() throws {
        #expect(throws: GridError.tooMany("queue=2..10000/21,1ms..100ms/20", 420)) {
            try PolicyGrid(parsing: ["queue=2..10000/21,1ms..100ms/20"])
        }
        #expect(try PolicyGrid(parsing: ["queue=2..10000/20,1ms..100ms/20"]).policies.count == 400)
        #expect(throws: GridError.tooMany("queue=2..10000/20,1ms..100ms/20 sync", 401)) {
            try PolicyGrid(parsing: ["queue=2..10000/20,1ms..100ms/20", "sync"])
        }
        let list = (1...500).map(String.init).joined(separator: "|")
        #expect(throws: GridError.tooMany("batch=\(list)", 500)) { try PolicyGrid(parsing: ["batch=\(list)"]) }
    }

    /// Whatever is typed, a grid is read or refused with a reason; what is read can be written and read again.
    @Test(arguments: seeds) func anythingIsReadOrRefused(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let words = [
            "queue=", "single-queue=", "batch=", "every=", "sync", "64", "4096", "1ms", "100ms", "..", "|", "/", ",",
            "5", "0",
            "1s", "99999999999999999999", "-", " ",
        ]
        var read = 0
        for _ in 0..<4000 {
            let text = (0...random.next() % 9).map { _ in words[Int(random.next() % UInt64(words.count))] }.joined()
            guard let grid = try? PolicyGrid(parsing: [text]) else { continue }
            read += 1
            #expect(!grid.policies.isEmpty)
            let again = try PolicyGrid(parsing: [grid.canonical])
            #expect(again == grid)
            for policy in grid.policies { #expect(try Policy(parsing: policy.canonical) == policy) }
        }
        #expect(read > 20)
    }
}
