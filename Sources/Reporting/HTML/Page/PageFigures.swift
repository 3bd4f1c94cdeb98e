import Foundation
import GRDB
import TraceStore

/// The figures of a page; `nil` where there is nothing to draw.
struct PageFigures {
    let data: PageData

    /// How many policies one figure bears.
    private static let most = 8

    private func evidence(_ policies: [ReplayedPolicy]) -> [String] {
        var words: [String] = []
        for word in ["recorded", "inferred", "modelled", "assumed"]
        where policies.contains(where: { $0.evidence == word }) { words.append(word) }
        return words
    }

    /// Flushes under each policy.
    func flushes() -> PageFigure? {
        let policies = Array(data.distinct { $0.flushes != nil }.prefix(16))
        guard let first = policies.first, first.attachedCalls > 0 else { return nil }
        let calls = first.attachedCalls
        let bars = policies.map { policy in
            let flushes = policy.attachedFlushes ?? 0
            let share = 100 * Double(flushes) / Double(calls)
            return BarChart.Bar(
                label: policy.label, value: Double(flushes), text: Number.whole(flushes),
                title:
                    "\(policy.label): \(Number.count(flushes, "flush", "flushes")), \(Number.percent(share)) of the unmap calls (\(policy.evidence))",
                isReference: policy.name == "sync")
        }
        let left = first.counts.detachedCalls
        return PageFigure(
            anchor: Anchor("flushes"), title: "TLB flushes under each policy",
            description:
                "For \(Number.count(calls, "unmap call"))\(left > 0 ? " with a device attached; flushes without one, which no hardware sees, are left out" : ""). sync flushes once in each of them, and is what the others are measured by.",
            chart: BarChart(bars: bars, axis: "flushes"),
            tables: [
                PageTable(
                    caption: "TLB flushes under each policy",
                    columns: [
                        .init(title: "Policy", isNumber: false), .init(title: "Flushes"),
                        .init(title: "Evidence", isNumber: false),
                    ],
                    rows: policies.map { [.text($0.label), .whole($0.attachedFlushes), .evidence($0.evidence)] })
            ], evidence: evidence(policies))
    }

    /// Stale pages in the course of time.
    func timeline() -> PageFigure? {
        let policies = Array(data.distinct { $0.opensWindows && data.timelines[$0.id] != nil }.prefix(6))
        guard data.hasTimes, !policies.isEmpty else { return nil }
        let begin = data.trace.firstTime
        func seconds(_ time: Int64) -> Double { Double(time.subtractingSaturated(begin)) / 1e9 }
        let series = policies.map { policy in
            LineChart.Series(
                name: policy.label,
                steps: (data.timelines[policy.id] ?? []).map {
                    .init(start: seconds($0.start), length: Double($0.length) / 1e9, value: $0.pages)
                })
        }
        let chart = LineChart(
            series: series, timeAxis: "seconds since the first event of the log",
            valueAxis: "stale pages of 4 KiB, on average within a step")
        var description =
            "How many pages a device could still reach after their unmap. Policies that leave none are not drawn."
        if chart.isLogarithmic { description += " The scale is logarithmic, with a place for zero." }
        return PageFigure(
            anchor: Anchor("timeline"), title: "Stale pages in the course of time", description: description,
            chart: chart, tables: [timelineTable(policies, seconds)], evidence: evidence(policies))
    }

    private func timelineTable(_ policies: [ReplayedPolicy], _ seconds: (Int64) -> Double) -> PageTable {
        let longest = policies.compactMap { data.timelines[$0.id] }.max { $0.count < $1.count } ?? []
        let step = longest.first.map { Number.time(Double($0.length)) } ?? ""
        return PageTable(
            caption: "Stale pages of 4 KiB, on average within steps of \(step)",
            columns: [.init(title: "From", unit: "s")] + policies.map { .init(title: $0.label, unit: "pages") },
            rows: longest.enumerated().map { index, moment in
                [.real(seconds(moment.start), 3)]
                    + policies.map { policy in
                        let own = data.timelines[policy.id] ?? []
                        return .real(index < own.count ? own[index].pages : nil, 1)
                    }
            })
    }

    /// Lengths of windows.
    func lengths() -> PageFigure? {
        let policies = Array(data.distinct { $0.closed > 0 && data.lengths[$0.id] != nil }.prefix(Self.most))
        guard data.hasTimes, !policies.isEmpty else { return nil }
        let strips = policies.map { policy in
            HistogramChart.Strip(
                name: policy.label, bins: HistogramChart.bins(data.lengths[policy.id] ?? []),
                marks: [("p50", "p50_ns"), ("p99", "p99_ns"), ("max", "max_ns")].compactMap { name, column in
                    policy.windows.whole(column).map { (name, Double($0)) }
                })
        }
        return PageFigure(
            anchor: Anchor("lengths"), title: "How long stale windows are",
            description:
                "The share of the closed windows of each policy by their length, on a logarithmic scale; a strip’s heights are in proportion to its highest bar. Its lines are p50, which half of the windows do not exceed, p99, which 99 % do not exceed, and the maximum.",
            chart: HistogramChart(strips: strips, axis: "length of a window"),
            tables: zip(policies, strips).map { policy, strip in
                PageTable(
                    caption: "Closed windows by length under \(policy.label)",
                    columns: [.init(title: "Length", isNumber: false), .init(title: "Windows")],
                    rows: strip.bins.map { [.text(HistogramChart.words($0)), .whole($0.count)] })
            }, evidence: evidence(policies))
    }
}
