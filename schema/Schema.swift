/// The SQL of this folder, built into the binary. Each file also runs in the stock `sqlite3`.
public enum Schema {
    /// Marks a database as ours: `PRAGMA application_id`, the letters "IOMT".
    public static let applicationID: Int32 = 0x494f_4d54
    /// The layout of tables and views: `PRAGMA user_version`. Goes up with every change that older programs cannot read.
    public static let version: Int32 = 11

    /// A file of this folder.
    public struct File: Sendable {
        /// Its name without `.sql`.
        public let name: String
        /// What it holds.
        public let sql: String

        init(_ name: String, _ bytes: [UInt8]) {
            self.name = name
            sql = String(decoding: bytes, as: UTF8.self)
        }
    }

    /// `tables/`, in the order in which they are created.
    public static let tables = [
        File("trace", PackageResources.trace_sql),
        File("names", PackageResources.names_sql),
        File("domain", PackageResources.domain_sql),
        File("operation", PackageResources.operation_sql),
        File("layer", PackageResources.layer_sql),
        File("health", PackageResources.health_sql),
        File("part", PackageResources.part_sql),
        File("replay", PackageResources.replay_sql),
        File("window", PackageResources.window_sql),
        File("mistake", PackageResources.mistake_sql),
        File("validation", PackageResources.validation_sql),
        File("cost", PackageResources.cost_sql),
        File("iotlb", PackageResources.iotlb_sql),
        File("recording", PackageResources.recording_sql),
        File("workload", PackageResources.workload_sql),
        File("grid", PackageResources.grid_sql),
    ]

    /// `views/`
    public static let views = [
        File("lookup", PackageResources.lookup_sql),
        File("readable", PackageResources.readable_sql),
        File("stale", PackageResources.stale_sql),
        File("steps", PackageResources.steps_sql),
        File("implied", PackageResources.implied_sql),
        File("missing", PackageResources.missing_sql),
        File("disagrees", PackageResources.disagrees_sql),
        File("compare", PackageResources.compare_sql),
    ]

    /// `costs/default.txt`: how long one step takes, in the format of a cost file.
    public static let defaultCosts = String(decoding: PackageResources.default_txt, as: UTF8.self)

    /// `queries/history.sql`: all that happened to a range of addresses.
    public static let history = String(decoding: PackageResources.history_sql, as: UTF8.self)
    /// `queries/nearest.sql`: what was mapped nearest to it.
    public static let nearest = String(decoding: PackageResources.nearest_sql, as: UTF8.self)

    /// `reports/`, in the order in which they are listed. A report's comments are its documentation.
    public static let reports = [
        File("savings", PackageResources.savings_sql),
        File("windows", PackageResources.windows_sql),
        File("top", PackageResources.top_sql),
        File("hazards", PackageResources.hazards_sql),
        File("faults", PackageResources.faults_sql),
        File("mistakes", PackageResources.mistakes_sql),
        File("leaks", PackageResources.leaks_sql),
        File("latency", PackageResources.latency_sql),
        File("timeline", PackageResources.timeline_sql),
        File("page-sizes", PackageResources.page_sizes_sql),
        File("churn", PackageResources.churn_sql),
        File("churn-timeline", PackageResources.churn_timeline_sql),
        File("tlb", PackageResources.tlb_sql),
        File("sweep", PackageResources.sweep_sql),
        File("advice", PackageResources.advice_sql),
        File("costs", PackageResources.costs_sql),
        File("constants", PackageResources.constants_sql),
        File("calibration", PackageResources.calibration_sql),
        File("domains", PackageResources.domains_sql),
        File("validate", PackageResources.validate_sql),
        File("differences", PackageResources.differences_sql),
        File("evidence", PackageResources.evidence_sql),
        File("issues", PackageResources.issues_sql),
        File("events", PackageResources.events_sql),
        File("losses", PackageResources.losses_sql),
        File("metadata", PackageResources.metadata_sql),
        File("contradictions", PackageResources.contradictions_sql),
    ]
}
