import Foundation
import TestSupport
import Testing

@testable import Reporting

/// Scales, numbers and charts.
@Suite struct ChartTests {
    private static func values(_ random: inout SeededGenerator) -> [Double] {
        (0..<(1 + random.next() % 20)).map { _ in
            let mantissa = Double(random.next() % 1000) / 7
            return random.next() % 5 == 0 ? 0 : mantissa * pow(10, Double(random.next() % 24) - 8)
        }
    }

    /// Each value has a place on the scale, in order, and so has each tick; zero is where zero belongs.
    @Test(arguments: 0..<200) func scales(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let values = Self.values(&random).sorted()
        for kind in [Scale.Kind.linear, .log(withZero: false), .log(withZero: true, floor: 0.01)] {
            let scale = Scale(kind, for: values, from: 10, to: 300)
            let places = values.map { scale($0) }
            #expect(places == places.sorted())
            #expect(places.allSatisfy { (10...300).contains($0) })
            #expect(scale.high >= (values.last ?? 0) * (1 - 1e-9))
            for count in [2, 5, 12] {
                let ticks = scale.ticks(about: count)
                #expect((1...(2 * count + 4)).contains(ticks.count), "\(ticks)")
                #expect(ticks == ticks.sorted())
                #expect(Set(ticks.map { scale($0) }).count == ticks.count)
            }
        }
    }

    @Test func ticksAreRound() {
        #expect(Scale(.linear, for: [18_562], from: 0, to: 1).ticks(about: 5) == [0, 5000, 10_000, 15_000, 20_000])
        #expect(
            Scale(.linear, for: [0.7], from: 0, to: 1).ticks(about: 5).map(Number.tick) == [
                "0", "0.2", "0.4", "0.6", "0.8",
            ])
        #expect(
            Scale(.log(withZero: false), for: [0, 3, 900], from: 0, to: 1).ticks(about: 5) == [0, 1, 10, 100, 1000])
        #expect(Scale(.linear, for: [], from: 0, to: 1).ticks(about: 3).first == 0)
        #expect(Scale(.linear, for: [.nan, .infinity], from: 0, to: 1)(.nan).isFinite)
    }

    @Test func numbers() {
        #expect(
            [0, 999, 1000, 12_067, -6200, Int64.min].map(Number.whole) == [
                "0", "999", "1,000", "12,067", "−6,200", "−9,223,372,036,854,775,808",
            ])
        #expect(
            [98.907, 100, 0, 99.999, 0.004].map(Number.percent) == [
                "98.9 %", "100 %", "0 %", "more than 99.9 %", "0.004 %",
            ])
        #expect(
            [0, 15, 13_055, 15_999_000, 1_023_708_000].map(Number.time) == ["0", "15 ns", "13.1 µs", "16 ms", "1.02 s"])
        #expect(Number.fixed(-0.0001, 2) == "0.00")
        #expect(Number.fixed(1234.5678, 3) == "1,234.568")
        #expect(Number.bytes(10_380_902) == "9.9 MiB")
        #expect([0.05, -0.05, -0.5, 12, 12.34, .nan].map(\.coordinate) == ["0.1", "-0.1", "-0.5", "12", "12.3", "0"])
    }

    /// No window is lost on its way into a bin, and each bin holds what its borders say.
    @Test(arguments: 0..<100) func bins(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let lengths = (0..<50).map { _ in
            (nanoseconds: Int64(random.next() >> (1 + random.next() % 63)), count: Int64(random.next() % 1000))
        }
        let bins = HistogramChart.bins(lengths)
        #expect(bins.reduce(0) { $0 + $1.count } == lengths.reduce(0) { $0 + $1.count })
        for bin in bins {
            let own = lengths.filter {
                bin.high == 0
                    ? $0.nanoseconds == 0 : Double($0.nanoseconds) >= bin.low && Double($0.nanoseconds) < bin.high
            }
            #expect(own.reduce(0) { $0 + $1.count } == bin.count, "\(bin)")
        }
    }

    /// A chart of anything is drawn within its borders, with finite coordinates only.
    @Test(arguments: 0..<50) func anyChart(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let values = Self.values(&random) + [.nan, .infinity, -1, 0]
        let charts: [any Chart] = [
            BarChart(
                bars: values.map { .init(label: "a<b", value: $0, text: Number.short($0), title: "&") }, axis: "x"),
            LineChart(
                series: [
                    .init(name: "s", steps: values.enumerated().map { .init(start: Double($0), length: 1, value: $1) })
                ],
                timeAxis: "s", valueAxis: "pages"),
            HistogramChart(
                strips: [
                    .init(
                        name: "h", bins: HistogramChart.bins([(0, 3), (Int64.max, 1)]),
                        marks: [("p50", 0), ("max", .infinity)])
                ], axis: "length"),
            ScatterChart(
                points: values.map { .init(x: $0, y: 1, label: "p", title: "t", isFront: true, isDefault: false) },
                horizontalAxis: "x", verticalAxis: "y"),
        ]
        for chart in charts {
            for width in ChartWidth.allCases {
                let drawing = chart.draw(width)
                #expect(drawing.height.isFinite && drawing.height > 0)
                #expect(!drawing.content.source.contains("inf\""))
                #expect(!drawing.content.source.contains("a<b"))
            }
        }
    }

    private static func point(_ x: Double, _ y: Double, _ label: String?, isFront: Bool, isDefault: Bool = false)
        -> ScatterChart.Point
    {
        .init(x: x, y: y, label: label, title: "", isFront: isFront, isDefault: isDefault)
    }

    /// What nothing betters is never hidden by what is bettered.
    @Test func frontIsDrawnOver() throws {
        let chart = ScatterChart(
            points: [
                Self.point(0, 10, "sync", isFront: true, isDefault: true), Self.point(0, 10, nil, isFront: false),
                Self.point(5, 5, "queue", isFront: false, isDefault: true), Self.point(5, 4, "batch", isFront: true),
            ], horizontalAxis: "x", verticalAxis: "y")
        #expect(chart.drawn().map(\.isFront) == [false, false, true, true])
        #expect(chart.drawn().last?.label == "sync")
        // As it is drawn, behind the legend's three signs.
        let signs = chart.draw(.wide).content.source.matches(of: /class="(point[ a-z]*)"/).map { String($0.1) }
        #expect(Array(signs.dropFirst(3)) == ["point", "point", "point front", "point front"])
    }

    /// Points at one place have one name, which tells how many there are.
    @Test func namesOfOnePlaceAreMerged() {
        let chart = ScatterChart(
            points: [
                Self.point(1, 2, "queue=2048,1ms", isFront: true), Self.point(1, 2, "queue=2048,2ms", isFront: true),
                Self.point(1, 2, nil, isFront: false), Self.point(1, 3, "other", isFront: false),
                Self.point(7, 7, "batch=2", isFront: true), Self.point(7, 7, "sync", isFront: true, isDefault: true),
                Self.point(7, 7, "vfio", isFront: false, isDefault: true),
            ], horizontalAxis: "x", verticalAxis: "y")
        #expect(chart.merged().map(\.text) == ["sync, vfio and 1 more", "queue=2048,1ms and 2 more", "other"])
        #expect(chart.merged().map(\.isDefault) == [true, false, false])
    }

    /// A name that is not beside its point has a line to it, and what a kernel does has a name however full it is.
    @Test(arguments: 0..<20) func namesLeadToTheirPoints(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var points = (0..<40).map { number in
            Self.point(
                Double(random.next() % 30), Double(random.next() % 30), "n\(number)", isFront: random.next() % 2 == 0)
        }
        points.append(Self.point(15, 15, "kernel", isFront: false, isDefault: true))
        let chart = ScatterChart(points: points, horizontalAxis: "x", verticalAxis: "y")
        let source = chart.draw(.wide).content.source
        #expect(source.contains(">kernel") || chart.merged().first?.text.hasPrefix("kernel") != true)
        let plot = Scale(.linear, for: points.map(\.y), from: 0, to: 1)
        #expect(plot.high > 0)
        let texts = source.matches(of: /<text x="([-0-9.]+)" y="([-0-9.]+)" class="halo( name)?">/).compactMap {
            Double($0.2)
        }
        let lines = source.matches(of: /y1="([-0-9.]+)" x2="[-0-9.]+" y2="([-0-9.]+)" class="leader"/).compactMap {
            line in Double(line.1).flatMap { from in Double(line.2).map { (from, $0) } }
        }
        // A line ends in the middle of a text, 4 above its base.
        for (from, to) in lines {
            #expect(abs(from - to) > 16)
            #expect(texts.contains { abs($0 - 4 - to) < 0.2 })
        }
    }
}
