/// How large a cache of translations is, how its entries are grouped, and which of them makes room for a new one
/// (model.md §5).
///
/// Written as `ENTRIES`, for a fully associative cache, or `ENTRIESxWAYS`, as the sources of model.md §5 give their
/// figures: `64x8` are 64 entries in sets of 8, thus 8 sets. An entry's set follows from the low bits of its page number,
/// counted in pages of its own size; that vendors hash in the domain is not documented.
public struct CacheGeometry: Hashable, Sendable {
    /// Which entry of a full set makes room.
    public enum Replacement: Hashable, Sendable {
        /// The one that was filled or hit longest ago.
        case leastRecentlyUsed
        /// The one of its set that was filled longest ago, whether it was hit or not: first in, first out.
        case roundRobin
        /// Any, by a generator that starts with `seed`: the same cache and the same lookups evict the same entries.
        case random(seed: UInt64)
        /// All of them: a fill that finds the whole cache full empties it first, as QEMU's software caches do.
        case resetWhenFull
    }

    /// Entries of the whole cache.
    public let entries: Int
    /// Entries of one set.
    public let ways: Int
    /// Which entry makes room.
    public let replacement: Replacement

    /// The largest number of entries: far beyond any hardware, and small enough for a cache for each of many devices.
    public static let maximumEntries = 1 << 20

    /// A cache of `entries` in sets of `ways`; `nil` unless there are 1 to ``maximumEntries``, the number of sets is a
    /// whole power of two, and a cache that is reset when full has one set.
    public init?(entries: Int, ways: Int, replacement: Replacement = .leastRecentlyUsed) {
        guard (1...Self.maximumEntries).contains(entries), (1...entries).contains(ways), entries % ways == 0 else {
            return nil
        }
        let sets = entries / ways
        guard sets & (sets - 1) == 0 else { return nil }
        if replacement == .resetWhenFull, sets > 1 { return nil }
        self.init(uncheckedEntries: entries, ways: ways, replacement: replacement)
    }

    /// A fully associative cache; `nil` unless there are 1 to ``maximumEntries``.
    public init?(entries: Int, replacement: Replacement = .leastRecentlyUsed) {
        self.init(entries: entries, ways: entries, replacement: replacement)
    }

    init(uncheckedEntries entries: Int, ways: Int, replacement: Replacement) {
        self.entries = entries
        self.ways = ways
        self.replacement = replacement
    }

    /// Sets, a power of two; 1 in a fully associative cache.
    public var sets: Int { entries / ways }
    /// Whether an entry can be anywhere.
    public var isFullyAssociative: Bool { ways == entries }
}

// MARK: - Presets

extension CacheGeometry {
    /// A geometry that somebody has used, under a name.
    ///
    /// They are simulators' and emulators' figures. Vendors publish no sizes, so none is a vendor's (model.md §5).
    public struct Preset: Hashable, Sendable {
        /// What ``CacheGeometry/init(parsing:)`` reads it by.
        public let name: String
        /// The cache.
        public let geometry: CacheGeometry
        /// Where the figures come from.
        public let source: String
    }

    /// All named geometries.
    public static let presets: [Preset] = [
        Preset(
            name: "hypersio",
            geometry: CacheGeometry(uncheckedEntries: 64, ways: 8, replacement: .leastRecentlyUsed),
            source: "IOTLB and device TLB of the hypersio simulator's configuration"),
        Preset(
            name: "gem5-micro",
            geometry: CacheGeometry(uncheckedEntries: 32, ways: 32, replacement: .roundRobin),
            source: "micro TLB of gem5's SMMUv3 model, one for each interface"),
        Preset(
            name: "gem5-main",
            geometry: CacheGeometry(uncheckedEntries: 2048, ways: 4, replacement: .roundRobin),
            source: "main TLB of gem5's SMMUv3 model"),
        Preset(
            name: "qemu-vtd",
            geometry: CacheGeometry(uncheckedEntries: 1024, ways: 1024, replacement: .resetWhenFull),
            source: "software cache of QEMU's emulated VT-d, VTD_IOTLB_MAX_SIZE"),
        Preset(
            name: "qemu-smmu",
            geometry: CacheGeometry(uncheckedEntries: 256, ways: 256, replacement: .resetWhenFull),
            source: "software cache of QEMU's emulated SMMU, SMMU_IOTLB_MAX_SIZE"),
    ]
}

// MARK: - Text

extension CacheGeometry {
    /// What a geometry looks like on the command line, with a word on each part.
    public static let grammar = """
        ENTRIES           a fully associative cache: 64
        ENTRIESxWAYS      sets of WAYS entries each: 64x8 has 64 entries in 8 sets
        …,REPLACEMENT     lru (the default), round-robin, random, random=SEED or reset-when-full (one set only)
        \(presets.map { "\($0.name)".padded(to: 18) + "\($0.geometry.canonical): \($0.source)" }.joined(separator: "\n"))
        """

    /// Reads a geometry or a preset's name as typed.
    public init(parsing text: String) throws(CacheGeometryError) {
        if let preset = Self.presets.first(where: { $0.name == text }) {
            self = preset.geometry
            return
        }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts[0].split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count <= 2, numbers.count <= 2, let entries: Int = Self.number(numbers[0]),
            let ways: Int = numbers.count == 2 ? Self.number(numbers[1]) : entries
        else { throw CacheGeometryError(text: text, reason: "is no cache geometry") }
        guard let replacement = parts.count == 2 ? Self.replacement(parts[1]) : .leastRecentlyUsed else {
            throw CacheGeometryError(text: text, reason: "names no replacement after the comma")
        }
        guard let geometry = CacheGeometry(entries: entries, ways: ways, replacement: replacement) else {
            let reason =
                replacement == .resetWhenFull && ways < entries
                ? "cannot be: what is reset when full has one set"
                : "cannot be: 1 to \(Self.maximumEntries) entries, and ENTRIES/WAYS a power of two"
            throw CacheGeometryError(text: text, reason: reason)
        }
        self = geometry
    }

    /// The one way of writing it: `64x8`, `2048x4,round-robin`.
    public var canonical: String {
        let size = isFullyAssociative ? "\(entries)" : "\(entries)x\(ways)"
        return switch replacement {
        case .leastRecentlyUsed: size
        case .roundRobin: size + ",round-robin"
        case .random(seed: Self.defaultSeed): size + ",random"
        case .random(let seed): size + ",random=\(seed)"
        case .resetWhenFull: size + ",reset-when-full"
        }
    }

    private static let defaultSeed: UInt64 = 1

    private static func replacement(_ text: Substring) -> Replacement? {
        switch text {
        case "lru": return .leastRecentlyUsed
        case "round-robin": return .roundRobin
        case "random": return .random(seed: defaultSeed)
        case "reset-when-full": return .resetWhenFull
        default:
            guard text.hasPrefix("random="), let seed: UInt64 = number(text.dropFirst("random=".count)) else {
                return nil
            }
            return .random(seed: seed)
        }
    }

    private static func number<Number: FixedWidthInteger>(_ text: Substring) -> Number? {
        text.allSatisfy { $0.isASCII && $0.isNumber } ? Number(text) : nil
    }
}

/// A cache geometry that cannot be read.
public struct CacheGeometryError: Error, Hashable, CustomStringConvertible {
    /// As typed.
    public let text: String
    /// What is wrong with it.
    public let reason: String

    /// What is wrong and what there is.
    public var description: String { "cache geometry '\(text)' \(reason)\n\(CacheGeometry.grammar)" }
}

extension String {
    /// The text and as many spaces behind it as make it `width` characters long.
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(width - count, 0))
    }
}
