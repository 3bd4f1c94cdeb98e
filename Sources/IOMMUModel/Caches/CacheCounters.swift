/// What happened in a cache since it was made.
public struct CacheCounters: Hashable, Sendable {
    /// Lookups that found an entry.
    public var hits: Int64 = 0
    /// Lookups that found none.
    public var misses: Int64 = 0
    /// Entries written, those included that replaced an entry with the same tag.
    public var fills: Int64 = 0
    /// Entries that made room for a fill.
    public var evictions: Int64 = 0
    /// Entries that an invalidation removed.
    public var kills: Int64 = 0

    /// Nothing yet.
    public init() {}

    /// Lookups, hits and misses.
    public var lookups: Int64 { hits &+ misses }
}
