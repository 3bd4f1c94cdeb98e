import IOMMUModel

/// One domain under one policy: decides when to flush (design §4 5-8).
///
/// A value that sees what happens in the domain and says what is to be done. It knows no window, no hardware and no report.
package protocol FlushSchedule: Sendable {
    /// How the driver learns what an unmap call removed.
    var collecting: Collecting { get }
    /// Unmap calls that no flush has covered yet.
    var waiting: Int64 { get }
    /// Whether the policy still owes a flush.
    var isFlushDue: Bool { get }

    /// What the unmap call at hand is about to remove, between its `.unmapping` and its `.unmapped`. Only those whose collecting
    /// is ``Collecting/inPieces`` are told. Of leaves with a negative tag it is not known what they point to.
    mutating func remove(_ leaves: ArraySlice<TranslationMap.Run>, of range: AddressRange)

    /// Something happens in the domain.
    mutating func on(_ event: DomainEvent, into actions: inout FlushActions)
}

extension FlushSchedule {
    package var isFlushDue: Bool { waiting > 0 }
    package mutating func remove(_ leaves: ArraySlice<TranslationMap.Run>, of range: AddressRange) {}
}

/// How the driver learns what an unmap call removed: the gather that its caller passes (model.md §1.6).
package enum Collecting: Sendable {
    /// It gathers for a sync to come.
    case gathered
    /// It gathers nothing, because a flush of the whole domain is to come or the log says what was flushed: a queued gather.
    case queued
    /// Each page-table callback flushes: there is no gather yet.
    case eachPage
    /// It gathers the pieces that the schedule names, by ``FlushAction/gather(_:)``.
    case inPieces
}
