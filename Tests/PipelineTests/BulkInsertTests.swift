import Testing

@testable import TraceStore

@Suite struct BulkInsertTests {
    @Test func lowestBits() {
        #expect(BulkInsert.lowest(0) == 0)
        #expect(BulkInsert.lowest(1) == 1)
        for bits in 1...62 { #expect(BulkInsert.lowest(bits) == Int64(1) << Int64(bits) - 1, "\(bits)") }
        #expect(BulkInsert.lowest(63) == .max)
    }
}
