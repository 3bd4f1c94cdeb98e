import SeededTable

/// From where to where in a log an IOMMU knew a domain by an id.
public struct HardwareID: Hashable, Sendable {
    /// The id that the hardware knows.
    public var id: Int64
    /// Number of the IOMMU, which has ids of its own; 0 if the log does not tell.
    public var unit: Int32
    /// Number of the domain.
    public var domain: Int32
    /// First line of the log on which it may have been this domain's.
    public var firstLine: Int64
    /// The line on which it was no longer; `Int64.max` if it was to the end.
    public var endLine: Int64
}

/// Which domain the hardware knows by an id, and when: ids are given out again when a domain's last device has left or the domain
/// is freed.
///
/// Commands tell it, once the domain has had the id for a while. So what a command tells holds from where the domain and the id
/// were both there to be joined, as far as the log shows that.
struct HardwareIDs {
    /// How a command tells of its domain.
    enum Evidence {
        /// It comes after an unmap of the domain, and may be for another one.
        case near
        /// It is below a recorded flush of the domain, or is for just what the domain has unmapped.
        case certain
    }

    private struct Latest {
        /// Index of the id's latest span.
        var span: Int
        var isCertain: Bool
    }

    /// More than a host hands out; a hostile log may name a new one on each line.
    private static let limit = 1 << 16

    /// In the order in which they were found out; those of one id in order of their lines.
    private(set) var spans: [HardwareID] = []
    /// For each span the one of the same id before it, -1 for none.
    private var former: [Int] = []
    private var latest = SeededTable<KeyPair, Latest>()
    /// What each domain has at present, or had.
    private var keysOfDomain: [Int32: [KeyPair]] = [:]
    /// The line before which a domain was not there, or had lost its ids.
    private var firstLineOfDomain: [Int32: Int64] = [:]

    /// A domain comes to be on this line.
    mutating func begin(_ domain: Int32, line: Int64) { firstLineOfDomain[domain] = line }

    /// A command names an id, and may be of a domain.
    mutating func note(_ id: Int64, unit: Int32, of domain: Int32, _ evidence: Evidence, line: Int64) {
        let key = Self.key(id, unit)
        let since = firstLineOfDomain[domain] ?? 0
        guard let index = latest.find(key) else { return add(key, id, unit, domain, evidence, since) }
        let (span, isCertain) = (latest[at: index].span, latest[at: index].isCertain)
        if spans[span].endLine != .max {
            add(key, id, unit, domain, evidence, max(spans[span].endLine, since))
        } else if spans[span].domain == domain {
            latest[at: index].isCertain = isCertain || evidence == .certain
        } else if evidence == .certain {
            // Whose it was before nobody has seen to lose it; or that was a guess, and ends where the truth can begin.
            spans[span].endLine = isCertain ? line : max(spans[span].firstLine, since)
            add(key, id, unit, domain, evidence, spans[span].endLine)
        }
    }

    private mutating func add(
        _ key: KeyPair, _ id: Int64, _ unit: Int32, _ domain: Int32, _ evidence: Evidence, _ first: Int64
    ) {
        guard spans.count < Self.limit else { return }
        former.append(latest[key]?.span ?? -1)
        latest.set(key, Latest(span: spans.count, isCertain: evidence == .certain))
        spans.append(HardwareID(id: id, unit: unit, domain: domain, firstLine: first, endLine: .max))
        keysOfDomain[domain, default: []].append(key)
    }

    /// From this line on a domain has no ids any more.
    mutating func release(_ domain: Int32, line: Int64) {
        firstLineOfDomain[domain] = line
        for key in keysOfDomain.removeValue(forKey: domain) ?? [] {
            guard let span = latest[key]?.span, spans[span].domain == domain, spans[span].endLine == .max else {
                continue
            }
            spans[span].endLine = max(line, spans[span].firstLine)
        }
    }

    /// Who has an id at present; `nil` if that is not known.
    func domain(of id: Int64, unit: Int32) -> Int32? {
        guard let span = latest[Self.key(id, unit)]?.span, spans[span].endLine == .max else { return nil }
        return spans[span].domain
    }

    /// Who has an id on a line, one of the last that there were; `nil` if that is not known.
    func domain(of id: Int64, unit: Int32, line: Int64) -> Int32? {
        var span = latest[Self.key(id, unit)]?.span ?? -1
        while span >= 0, line < spans[span].firstLine { span = former[span] }
        return span >= 0 && line < spans[span].endLine ? spans[span].domain : nil
    }

    private static func key(_ id: Int64, _ unit: Int32) -> KeyPair {
        KeyPair(UInt64(bitPattern: id), UInt64(UInt32(bitPattern: unit)))
    }
}
