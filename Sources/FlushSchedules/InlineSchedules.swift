import IOMMUModel

/// `sync`: one sync in each unmap call, also if nothing was there to unmap (design §4 6).
struct SyncSchedule: FlushSchedule {
    var collecting: Collecting { .gathered }
    var waiting: Int64 { 0 }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        guard case .unmapped(let call) = event else { return }
        actions.flush(.call, at: call.occasion, calls: 1, .sync)
    }
}

/// `per-page`: each page-table callback flushes for itself (design §4 5): those of the 4.15 loop, or one for each call where
/// the driver's callback takes all of it.
struct PerPageSchedule: FlushSchedule {
    let pageSizes: PageSizes
    let callbacksTakeCalls: Bool

    var collecting: Collecting { .eachPage }
    var waiting: Int64 { 0 }

    mutating func on(_ event: DomainEvent, into actions: inout FlushActions) {
        guard case .unmapped(let call) = event else { return }
        // Where less came back than was asked for, the loop ended with a callback that found nothing.
        let isCutShort = call.result < call.size
        let callbacks =
            AddressRange(start: call.iova, size: isCutShort ? call.result : call.size).map(pageSizes.pageCount) ?? 0
        let flushes =
            callbacksTakeCalls ? (call.size > 0 ? 1 : 0) : Int64(clamping: callbacks &+ (isCutShort ? 1 : 0))
        guard flushes > 0 else { return }
        actions.flush(.call, at: call.occasion, flushes: flushes, calls: 1, .eachPage(call.range))
    }
}
