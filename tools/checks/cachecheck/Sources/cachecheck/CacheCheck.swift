import Foundation
import IOMMUModel

/// Reads page numbers from stdin, one decimal number a line, and looks each up in a cache of each geometry given, filling
/// it after a miss. Prints a line for each geometry: it, lookups, misses, evictions, ns per access with its fill, ns per
/// lookup in the cache that is left.
@main struct CacheCheck {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard !arguments.isEmpty else { fail("usage: cachecheck GEOMETRY... <PAGES\n\(CacheGeometry.grammar)") }
        var geometries: [CacheGeometry] = []
        do {
            for argument in arguments { geometries.append(try CacheGeometry(parsing: argument)) }
        } catch {
            fail("\(error)")
        }
        var pages: ContiguousArray<UInt64> = []
        while let line = readLine() {
            guard let page = UInt64(line), page < 1 << 52 else {
                fail("line \(pages.count + 1) is no page number: \(line)")
            }
            pages.append(page)
        }
        for geometry in geometries { run(geometry, pages) }
    }

    private static func run(_ geometry: CacheGeometry, _ pages: ContiguousArray<UInt64>) {
        var cache = IOTLB(geometry)
        let clock = ContinuousClock()
        let filling = clock.measure {
            for page in pages where cache.lookup(domain: 1, iova: page << 12) == nil {
                cache.fill(domain: 1, iova: page << 12, target: page << 12, size: 4096)
            }
        }
        let counters = cache.counters
        let looking = clock.measure {
            for page in pages { _ = cache.lookup(domain: 1, iova: page << 12) }
        }
        let fields = ["\(counters.lookups)", "\(counters.misses)", "\(counters.evictions)"]
        let times = [filling, looking].map { tenths($0, pages.count) }
        print(([geometry.canonical] + fields + times).joined(separator: "\t"))
    }

    /// ns for each of `count`, with one digit behind the point.
    private static func tenths(_ duration: Duration, _ count: Int) -> String {
        let tenths = Int64(duration / .nanoseconds(1) * 10) / Int64(max(count, 1))
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func fail(_ message: String) -> Never {
        FileHandle.standardError.write(Data((message + "\n").utf8))
        exit(2)
    }
}
