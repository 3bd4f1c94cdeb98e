/// Hands out addresses, IOVAs or page addresses, by size class. Freed ones come back last in, first out, as from the
/// magazines of `drivers/iommu/iova.c`, but not before `reuse` more frees of the same class.
///
/// Memory is bounded by the largest number of addresses that were out at one time.
struct AddressPool {
    /// Which way a pool grows where no freed address is at hand.
    enum Direction {
        /// Top-down below 4 GiB, as the DMA API allocates IOVAs; below 2^52 once that is used up.
        case downward
        /// Bottom-up from 4 GiB. `spacing` slots apart: 2 keeps any two pages from being neighbours.
        case upward(spacing: UInt64)
    }

    private struct Magazine {
        let slot: UInt64
        var ready: [UInt64] = []
        /// A ring: the last `reuse` frees, not to be given out yet.
        var waiting: [UInt64] = []
        var oldest = 0
    }

    private let direction: Direction
    private let reuse: Int
    private var frontier: UInt64 = 1 << 32
    private var magazines: [Magazine]

    init(_ classes: [SizeClass], reuse: Int, _ direction: Direction) {
        self.direction = direction
        self.reuse = reuse
        magazines = classes.map { Magazine(slot: $0.slot) }
    }

    mutating func take(_ sizeClass: Int) -> UInt64 {
        if let address = magazines[sizeClass].ready.popLast() { return address }
        let slot = magazines[sizeClass].slot
        switch direction {
        case .downward:
            // Address 0 and the first MiB stay free: no driver wants an IOVA there.
            if frontier < slot + 1 << 20 { frontier = 1 << 52 }
            frontier = (frontier - slot) & ~(slot - 1)
            return frontier
        case .upward(let spacing):
            let address = (frontier + slot - 1) & ~(slot - 1)
            frontier = address + slot * spacing
            return address
        }
    }

    mutating func give(_ sizeClass: Int, _ address: UInt64) {
        if reuse == 0 {
            magazines[sizeClass].ready.append(address)
        } else if magazines[sizeClass].waiting.count < reuse {
            magazines[sizeClass].waiting.append(address)
        } else {
            let place = magazines[sizeClass].oldest
            magazines[sizeClass].ready.append(magazines[sizeClass].waiting[place])
            magazines[sizeClass].waiting[place] = address
            magazines[sizeClass].oldest = place + 1 == reuse ? 0 : place + 1
        }
    }
}

/// Draws a size class with the weights of `--sizes`.
struct SizePicker {
    private let bounds: [UInt64]

    init(_ classes: [SizeClass]) {
        var sum: UInt64 = 0
        bounds = classes.map { sizeClass in
            sum += sizeClass.weight
            return sum
        }
    }

    func pick(_ random: inout RandomSource) -> Int {
        guard bounds.count > 1, let total = bounds.last else { return 0 }
        let draw = random.below(total)
        var index = 0
        while draw >= bounds[index] { index += 1 }
        return index
    }
}
