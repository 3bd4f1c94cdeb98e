import Foundation
import GRDB

/// What a sweep comes to: a row of report advice, in a sentence.
struct AdviceWords {
    private let row: Row

    init(_ row: Row) { self.row = row }

    /// What the default saves and exposes, and what would save more.
    var answer: String {
        guard let exposure = row.real("default_page_seconds") else {
            return "the log has no times, so that nothing can be said of schedules that wait, nor of exposure"
        }
        let (calls, flushes) = (row.whole("unmap_calls") ?? 0, row.whole("default_flushes") ?? 0)
        let policy = row.string("default_policy")
        var parts = [
            "\(calls.subtractingSaturated(flushes)) of \(calls) flushes saved "
                + (policy == "vfio" ? "as VFIO unmaps" : "at the kernel's default")
                + " (\(policy)), for \(Self.digits(exposure, 4)) page-seconds"
        ]
        if let better = named("better_policy") {
            parts.append(
                "\(better) beats it: \(Self.flushes(row.whole("better_flushes") ?? 0)) for "
                    + "\(Self.digits(row.real("better_page_seconds") ?? 0, 4)) page-seconds")
        }
        if let next = named("next_policy"), flushes > 0 {
            let share = 100 * Double(flushes.subtractingSaturated(row.whole("next_flushes") ?? 0)) / Double(flushes)
            parts.append(
                "\(next) would save \(Self.digits(share, 3)) % of the flushes left for "
                    + against(exposure, row.real("next_page_seconds") ?? 0))
        }
        if let last = named("last_policy"), let most = row.whole("last_flushes"), most < flushes {
            parts.append(
                "nothing in the grid saves more than \(last) (\(Self.flushes(most)), "
                    + against(exposure, row.real("last_page_seconds") ?? 0) + ")")
        } else {
            parts.append("nothing in the grid saves more flushes")
        }
        if let detached = row.whole("detached_calls"), detached > 0 {
            parts.append(
                "\(detached) of the calls were made while no device was attached: their flushes reach no hardware")
        }
        return parts.joined(separator: "; ")
    }

    /// What that rests on.
    var restsOn: String {
        var parts = [
            "timers and rings are modelled on the kernel's (\(row.string("options")))",
            "windows are bounds, as if an IOTLB lost nothing by itself",
        ]
        if row.string("attached") == "assumed" { parts.append("devices are assumed to be attached throughout") }
        if row.string("evidence") == "assumed" {
            parts.append("which domain an operation is of is in part assumed")
        }
        if let uncertain = row.whole("uncertain"), uncertain > 0 {
            parts.append(
                "\(Number.count(uncertain, "window")) in which events were lost \(uncertain == 1 ? "counts" : "count") in no exposure, more of them the longer a schedule waits"
            )
        }
        return parts.joined(separator: "; ")
    }

    private func named(_ column: String) -> String? {
        let name = row.string(column)
        return name.isEmpty ? nil : name
    }

    /// An exposure as a multiple of the default's, where that has any.
    private func against(_ usual: Double, _ exposure: Double) -> String {
        usual > 0
            ? "\(Self.digits(exposure / usual, 3)) times the exposure" : "\(Self.digits(exposure, 4)) page-seconds"
    }

    private static func flushes(_ count: Int64) -> String { "\(count) flush\(count == 1 ? "" : "es")" }

    private static func digits(_ value: Double, _ count: Int) -> String { String(format: "%.\(count)g", value) }
}
