/// How often lengths of time occur, one strip for each series below the other, all on one logarithmic scale.
struct HistogramChart: Chart {
    struct Strip {
        var name: String
        /// Shares of all, in order.
        var bins: [Bin]
        /// Lengths with a name, such as p50, in ns.
        var marks: [(name: String, length: Double)]
    }

    struct Bin: Equatable {
        /// Borders in ns; both are 0 for lengths of zero.
        var (low, high): (Double, Double)
        /// How many.
        var count: Int64

        static func == (left: Bin, right: Bin) -> Bool {
            left.low == right.low && left.high == right.high && left.count == right.count
        }
    }

    var strips: [Strip]
    var axis: String

    /// Puts lengths into bins, eight of them for each power of ten.
    static func bins(_ lengths: [(nanoseconds: Int64, count: Int64)]) -> [Bin] {
        var counts: [Int: Int64] = [:]
        for (length, count) in lengths {
            counts[bin(of: length), default: 0] = counts[bin(of: length), default: 0].addingSaturated(count)
        }
        return counts.sorted { $0.key < $1.key }.map { number, count in
            number < 0
                ? Bin(low: 0, high: 0, count: count) : Bin(low: border(number), high: border(number + 1), count: count)
        }
    }

    private static func border(_ number: Int) -> Double { HistogramScale.border(number) }

    private static func bin(of length: Int64) -> Int { HistogramScale.bin(of: length) }

    func draw(_ width: ChartWidth) -> Drawing {
        let (rowHeight, barHeight) = (width == .wide ? 80.0 : 96, 44.0)
        let bottom = Double(strips.count) * rowHeight
        let lengths = strips.flatMap { $0.bins.flatMap { [$0.low, $0.high] } + $0.marks.map(\.length) }
        let scale = Scale(.log(withZero: false), for: lengths, from: 2, to: width.units - 10)
        let plot = Plot(left: 0, top: 0, right: width.units - 10, bottom: bottom)
        var markup = plot.horizontalAxis(
            scale, ticks: width == .wide ? 12 : 5, label: { Number.time($0) }, title: axis)
        for (index, strip) in strips.enumerated() {
            let base = Double(index + 1) * rowHeight - 6
            let highest = strip.bins.map { share($0, strip) }.max() ?? 1
            markup += heading(strip, base - barHeight - 10, width)
            markup += Ink.line(0, base, plot.right, base, "zero")
            for bin in strip.bins {
                let left = bin.low == 0 ? scale(0) - 2 : scale(bin.low)
                let right = bin.low == 0 ? scale(0) + 8 : scale(bin.high)
                let height = max(share(bin, strip) / highest * barHeight, 1)
                markup += Ink.rect(
                    left + 0.5, base - height, max(right - left - 1, 1), height, "bar",
                    title:
                        "\(Self.words(bin)): \(Number.count(bin.count, "window")), \(Number.percent(100 * share(bin, strip)))"
                )
            }
            markup += marks(strip, scale, base, barHeight)
        }
        return Drawing(height: bottom + 40, content: markup)
    }

    /// The name, and the lengths that the lines stand at: behind it, or in a row of their own where it is narrow.
    private func heading(_ strip: Strip, _ y: Double, _ width: ChartWidth) -> Markup {
        let lengths = strip.marks.map { "\($0.name) \(Number.time($0.length))" }.joined(separator: ", ")
        let isWide = width == .wide
        let room = width.units - 20 - (isWide ? Ink.width(lengths) : 0)
        return Ink.text(Ink.fitted(strip.name, room, isBold: true), 4, isWide ? y : y - 16, .start, "halo name")
            + Ink.text(lengths, isWide ? width.units - 10 : 4, y, isWide ? .end : .start, "halo")
    }

    /// Lines at p50 and so on.
    private func marks(_ strip: Strip, _ scale: Scale, _ base: Double, _ height: Double) -> Markup {
        var markup = Markup.empty
        for mark in strip.marks {
            let x = scale(mark.length)
            markup += Ink.line(x, base - height - 3, x, base, "mark-line")
        }
        return markup
    }

    private func share(_ bin: Bin, _ strip: Strip) -> Double {
        let all = strip.bins.reduce(0.0) { $0 + Double($1.count) }
        return all > 0 ? Double(bin.count) / all : 0
    }

    /// What lengths a bin holds.
    static func words(_ bin: Bin) -> String {
        bin.high == 0 ? "no time at all" : "\(Number.time(bin.low)) to \(Number.time(bin.high))"
    }
}

/// Eight bins for each power of ten, from 1 ns on.
enum HistogramScale {
    private static let borders: [Double] = {
        // 10^(1/8) and its powers, rounded as people would: the same on each machine.
        let steps = [1.0, 1.3, 1.8, 2.4, 3.2, 4.2, 5.6, 7.5]
        var power = 1.0
        return (0...19).flatMap { _ in
            defer { power *= 10 }
            return steps.map { $0 * power }
        }
    }()

    static func border(_ number: Int) -> Double { borders[min(max(number, 0), borders.count - 1)] }

    /// -1 for zero.
    static func bin(of length: Int64) -> Int {
        guard length > 0 else { return -1 }
        var (low, high) = (0, borders.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if Double(length) >= borders[middle] { low = middle } else { high = middle }
        }
        return low
    }
}
