import TraceFormats

/// What a log's sidecar says, and what follows from it for reading the log.
struct SidecarMetadata {
    private var metadata = RecordingMetadata()
    /// What a tick of a counting clock is taken for; `nil` if nobody says.
    let ticksPerSecond: UInt64?
    private let ticksReason: String

    /// Reads the folder that was named; otherwise the one beside the log, of several files beside the first that has one.
    ///
    /// - Throws: ``SidecarError`` if a folder was named and cannot be read.
    init(of files: [String], _ options: LogImport.Options) throws(SidecarError) {
        if let folder = options.metadata {
            metadata = try Sidecar.read(folder)
        } else if let folder = files.lazy.compactMap({ Self.folder(beside: $0) }).first {
            do throws(SidecarError) {
                metadata = try Sidecar.read(folder)
            } catch {
                // Nobody asked for it: the log is imported without.
                metadata.add(.notRead, "\(folder): \(error.reason)", source: "sidecar/.")
            }
        }
        let rate = metadata.tickRate
        ticksPerSecond = options.ticksPerSecond ?? rate?.perSecond
        ticksReason = options.ticksPerSecond == nil ? rate?.reason ?? "" : "--ticks-per-second"
    }

    /// `nvme.meta` for `nvme.txt.gz`, if it is a folder.
    private static func folder(beside log: String) -> String? {
        guard log != "-" else { return nil }
        let folder = log.lastIndex(of: "/").map { String(log[...$0]) } ?? ""
        let path = folder + LogImport.traceName(of: log) + ".meta"
        return Sidecar.isFolder(path) ? path : nil
    }

    /// All that is known, with what the log says of itself in front.
    func metadata(with log: RecordingMetadata) -> RecordingMetadata {
        var all = log
        all.add(metadata)
        if let ticksPerSecond, log.fact(.times)?.value == "ticks" {
            all.add(
                .ticksPerSecond, String(ticksPerSecond), number: Int64(clamping: ticksPerSecond), source: ticksReason,
                evidence: .assumed)
        }
        return all
    }
}
