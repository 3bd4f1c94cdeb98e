import Testing

@testable import TraceStore

/// Whose a hardware's id is on a line of a log.
struct HardwareDomainTests {
    private typealias Row = HardwareDomains.Row

    private func row(_ id: Int64, unit: Int64 = 0, _ domain: Int32, _ lines: Range<Int64>) -> Row {
        Row(id: id, unit: unit, domain: domain, lines: lines)
    }

    @Test("an id is of one domain after the other")
    func overTime() {
        let domains = HardwareDomains([
            row(4, 1, 0..<10), row(4, 2, 10..<20), row(4, 1, 30..<Int64.max), row(5, 3, 7..<9),
        ])
        let holders = [-1, 0, 9, 10, 19, 20, 29, 30, 1_000_000].map { domains.domain(of: 4, line: $0) }
        #expect(holders == [0, 1, 1, 2, 2, 0, 0, 1, 1])
        #expect([6, 7, 8, 9].map { domains.domain(of: 5, line: $0) } == [0, 3, 3, 0])
        #expect(domains.domain(of: 6, line: 8) == 0)
        #expect(HardwareDomains().domain(of: 4, line: 8) == 0)
    }

    @Test("each unit has ids of its own; who does not know the unit knows what they agree on")
    func units() {
        let domains = HardwareDomains([
            row(4, unit: 1, 1, 0..<Int64.max), row(4, unit: 2, 2, 10..<20), row(4, unit: 3, 1, 5..<30),
        ])
        #expect([0, 10, 15, 20].map { domains.domain(of: 4, unit: 1, line: $0) } == [1, 1, 1, 1])
        #expect([0, 10, 15, 20].map { domains.domain(of: 4, unit: 2, line: $0) } == [0, 2, 2, 0])
        #expect([0, 10, 15, 20, 40].map { domains.domain(of: 4, line: $0) } == [1, 0, 0, 1, 1])
        #expect(domains.domain(of: 4, unit: 9, line: 15) == 0)
    }

    @Test("what is known of no unit in particular holds for those of which nothing is known")
    func anyUnit() {
        let domains = HardwareDomains([row(4, 1, 0..<100), row(4, unit: 2, 3, 0..<100)])
        #expect(domains.domain(of: 4, unit: 1, line: 5) == 1)
        #expect(domains.domain(of: 4, unit: 2, line: 5) == 3)
        #expect(domains.domain(of: 4, line: 5) == 0)
    }

    @Test("rows are looked at once, not for each question, and neither order nor length matters")
    func many() {
        var rows: [Row] = []
        for index in 0..<2000 as Range<Int64> {
            rows.append(row(4, Int32(index % 7 + 1), index * 10..<index * 10 + 10))
        }
        let domains = HardwareDomains(rows.reversed())
        for line in stride(from: 0, to: 20_000, by: 7) as StrideTo<Int64> {
            #expect(domains.domain(of: 4, line: line) == Int32(line / 10 % 7 + 1))
        }
    }
}
