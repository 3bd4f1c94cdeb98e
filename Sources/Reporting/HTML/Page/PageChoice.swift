import GRDB

/// Flushes against exposure: which setting to pick. Out of the replays, and of a sweep where there was one.
struct PageChoice {
    struct Setting {
        var label: String
        var flushes: Int64
        var saved: Double?
        var exposure: Double
        /// Whether windows are open at the end, so that exposure is only a part of it.
        var isMore: Bool
        var isFront: Bool
        var isDefault: Bool
        var evidence: String
        /// Whether it is written beside its point.
        var isNamed: Bool
    }

    /// What kernels do by themselves: strict domains, the flush queue, VFIO.
    private static let defaults: Set<String> = ["sync", "queue=256,10ms", "single-queue=32768,1s", "vfio"]
    /// How many settings a page shows, those on the line first.
    private static let most = 400

    let settings: [Setting]
    let isOfASweep: Bool
    /// Unmap calls without a device: a sweep does not tell their flushes apart.
    private let detachedCalls: Int64
    private let hasTimes: Bool

    init(_ database: Database, _ data: PageData) throws {
        detachedCalls = data.policies.first?.counts.detachedCalls ?? 0
        let swept = try Self.swept(database, data.trace.id, hasDetachedCalls: detachedCalls > 0)
        isOfASweep = !swept.isEmpty
        hasTimes = data.hasTimes
        settings = isOfASweep ? swept : Self.replayed(data)
    }

    private static func replayed(_ data: PageData) -> [Setting] {
        var settings: [Setting] = []
        for policy in data.distinct({ $0.flushes != nil && $0.exposure != nil }) {
            settings.append(
                Setting(
                    label: policy.label, flushes: policy.attachedFlushes ?? 0, saved: policy.savedPercent,
                    exposure: policy.exposure ?? 0, isMore: policy.isExposureMore,
                    isFront: false, isDefault: defaults.contains(policy.name),
                    evidence: policy.evidence, isNamed: true))
        }
        for index in settings.indices {
            let own = settings[index]
            settings[index].isFront = !settings.contains {
                $0.flushes <= own.flushes && $0.exposure <= own.exposure
                    && ($0.flushes < own.flushes || $0.exposure < own.exposure)
            }
        }
        return settings
    }

    /// The points of the newest sweep of this log, where the database holds any.
    private static func swept(_ database: Database, _ trace: Int64, hasDetachedCalls: Bool) throws -> [Setting] {
        guard try database.tableExists("sweep"), try database.tableExists("sweep_point") else { return [] }
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT * FROM sweep_point
                WHERE domain IS NULL AND sweep = (SELECT max(id) FROM sweep WHERE trace = ?)
                ORDER BY is_pareto DESC, is_kernel_default DESC, exposure_page_seconds, flushes, policy LIMIT \(most)
                """, arguments: [trace])
        return rows.map { row in
            let (isFront, isDefault) = ((row.whole("is_pareto") ?? 0) != 0, (row.whole("is_kernel_default") ?? 0) != 0)
            let (flushes, calls) = (row.whole("flushes") ?? 0, row.whole("unmap_calls") ?? 0)
            let saved = calls.subtractingSaturated(flushes).subtractingSaturated(row.whole("flushes_pending") ?? 0)
            return Setting(
                label: row.string("policy"), flushes: flushes,
                saved: calls > 0 && !hasDetachedCalls ? 100 * Double(saved) / Double(calls) : nil,
                exposure: (row.real("exposure_page_seconds") ?? 0) + (row.real("censored_page_seconds") ?? 0),
                isMore: (row.whole("censored") ?? 0) > 0 || (row.whole("uncertain") ?? 0) > 0, isFront: isFront,
                isDefault: isDefault, evidence: row.string("evidence"),
                isNamed: isFront || isDefault)
        }
    }

    func figure() -> PageFigure? {
        guard hasTimes, settings.count > 1 else { return nil }
        let words = ["recorded", "inferred", "modelled", "assumed"]
        return PageFigure(
            anchor: Anchor("pareto"), title: "TLB flushes against exposure",
            description:
                "Less is better in both: nothing lies below and left of a setting on the line. Kernel defaults are squares with bold names. \(source)",
            chart: ScatterChart(
                points: settings.map(Self.point),
                horizontalAxis: "exposure, page-seconds (open ones too)",
                verticalAxis: "TLB flushes"),
            tables: [table()], evidence: words.filter { word in settings.contains { $0.evidence == word } })
    }

    private var source: String {
        guard isOfASweep else { return "The settings are the replays." }
        return "The settings are those of the newest sweep"
            + (detachedCalls > 0
                ? "; flushes of the \(Number.count(detachedCalls, "unmap call")) with no device attached, which no hardware sees, are among them."
                : ".")
    }

    private static func point(_ setting: Setting) -> ScatterChart.Point {
        let saved = setting.saved.map { ", \(Number.percent($0)) saved" } ?? ""
        return ScatterChart.Point(
            x: setting.exposure, y: Double(setting.flushes), label: setting.isNamed ? setting.label : nil,
            title:
                "\(setting.label): \(Number.count(setting.flushes, "flush", "flushes"))\(saved), \(Number.short(setting.exposure)) page-seconds (\(setting.evidence))",
            isFront: setting.isFront, isDefault: setting.isDefault)
    }

    func table() -> PageTable {
        PageTable(
            caption: "Flushes and exposure of each setting",
            columns: [
                .init(title: "Policy", isNumber: false), .init(title: "Flushes"), .init(title: "Saved", unit: "%"),
                .init(title: "Exposure", unit: "page-s"), .init(title: "Bettered by another", isNumber: false),
                .init(title: "Kernel default", isNumber: false), .init(title: "Evidence", isNumber: false),
            ],
            rows: settings.map { setting in
                [
                    .text(setting.label), .whole(setting.flushes), .real(setting.saved, 2),
                    .exposure(setting.exposure, isMore: setting.isMore),
                    .text(setting.isFront ? "no" : "yes"), .text(setting.isDefault ? "yes" : "no"),
                    .evidence(setting.evidence),
                ]
            })
    }
}
