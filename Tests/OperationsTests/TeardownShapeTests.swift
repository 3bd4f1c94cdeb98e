import Testing

@testable import Operations

/// What a domain unmaps, and whether it looks like an owner's memory that is given back.
struct TeardownShapeTests {
    private static func shape(_ steps: (inout TeardownShape) -> Void) -> Bool {
        var shape = TeardownShape()
        steps(&shape)
        return shape.isTeardown
    }

    private static let areas: [(start: UInt64, pages: UInt64)] = [(0x1000_0000, 300), (0x4000_0000, 512)]

    private static func mapAreas(_ shape: inout TeardownShape) {
        for area in areas { shape.map(iova: area.start, size: area.pages << 12) }
    }

    private static func unmapAreas(_ shape: inout TeardownShape, task: (Int) -> Int32 = { _ in 7 }) {
        for area in areas {
            for page in 0..<area.pages { shape.unmap(task: task(Int(page)), iova: area.start + page << 12, size: 4096) }
        }
    }

    @Test("whole areas from below, in one task, never mapped again")
    func teardown() {
        #expect(
            Self.shape {
                Self.mapAreas(&$0)
                Self.unmapAreas(&$0)
            })
        #expect(Self.shape { Self.unmapAreas(&$0) }, "mapped before the recording")
    }

    @Test(
        "few unmaps must be large: iommufd's four of a guest are, four of a driver's lists are not",
        arguments: [4096, 64] as [UInt64])
    func fewUnmaps(pages: UInt64) {
        let isTeardown = Self.shape {
            for piece in 0..<4 as Range<UInt64> { $0.unmap(task: 7, iova: (piece * pages) << 12, size: pages << 12) }
        }
        #expect(isTeardown == (pages == 4096))
    }

    @Test("a page or two are none, nor is nothing")
    func little() {
        #expect(!Self.shape { _ in })
        #expect(
            !Self.shape {
                $0.unmap(task: 7, iova: 0, size: 4096)
                $0.unmap(task: 7, iova: 4096, size: 4096)
                $0.unmap(task: 7, iova: 0x7000_0000, size: 0)
            })
    }

    @Test("a driver's rings: addresses from the top down, in whatever order, again and again")
    func descending() {
        #expect(
            !Self.shape {
                for page in (0..<1000 as Range<UInt64>).reversed() { $0.unmap(task: 7, iova: page << 12, size: 4096) }
            })
        #expect(
            !Self.shape { shape in
                for page in 0..<1000 as Range<UInt64> {
                    shape.unmap(task: 7, iova: (page * 7919 % 1000) << 12, size: 4096)
                }
            })
    }

    @Test("an area that is used again is a driver's, though each pass goes up")
    func reuse() {
        let passes = { (count: Int) in
            Self.shape { shape in
                for _ in 0..<count {
                    Self.mapAreas(&shape)
                    Self.unmapAreas(&shape)
                }
            }
        }
        #expect(passes(1))
        #expect(!passes(2))
        #expect(!passes(50))
    }

    @Test("a guest's device window that moves, and the attach test, are forgiven")
    func littleReuse() {
        #expect(
            Self.shape {
                $0.map(iova: 0, size: 8192)
                $0.unmap(task: 7, iova: 0, size: 4096)
                $0.unmap(task: 7, iova: 4096, size: 4096)
                $0.map(iova: 0, size: 1 << 20)
                Self.mapAreas(&$0)
                for page in 0..<256 as Range<UInt64> { $0.unmap(task: 7, iova: page << 12, size: 4096) }
                Self.unmapAreas(&$0)
            })
    }

    @Test("two tasks that take turns are none")
    func tasks() {
        #expect(!Self.shape { Self.unmapAreas(&$0) { Int32($0 % 2) } })
        #expect(!Self.shape { Self.unmapAreas(&$0) { Int32($0 % 100) } })
    }

    @Test("areas all over the place are none, and cost nothing more")
    func scattered() {
        #expect(
            !Self.shape {
                for index in 0..<2000 as Range<UInt64> { $0.unmap(task: 7, iova: index << 20, size: 4096) }
            })
    }

    @Test("addresses at the end of the world")
    func hostile() {
        #expect(
            !Self.shape {
                $0.map(iova: .max, size: .max)
                $0.unmap(task: 1, iova: .max, size: .max)
                $0.unmap(task: 1, iova: 0, size: .max)
                $0.map(iova: .max - 4095, size: 1 << 57)
                $0.map(iova: 0, size: .max)
                $0.unmap(task: 1, iova: .max - 1, size: 1)
            })
    }
}
