import Foundation
import Fuzzing
import TestSupport

// Recordings of trace-cmd. An input is read as it is if it begins like one; otherwise its first byte says which part of a
// sound recording it stands for, so that libFuzzer need not find out how one begins:
//
//   bits 0, 1  version 6, or 7 with no compression, zlib, zstd
//   bits 2-4   pages of events, an event's format, a record of each known event, names of tasks, kernel symbols, an option
//
// `FuzzDat --seeds FOLDER` writes small whole recordings to begin with.
let log = MadeUpLog()

func recording(_ form: UInt8, cpus: [[[UInt8]]]) -> TraceDatFile {
    var file = TraceDatFile(cpus: cpus)
    file.version = form & 3 == 0 ? 6 : 7
    file.compression = [.none, .none, .zlib, .zstd][Int(form & 3)]
    return file
}

let cacheFlush = RecordedEvent(
    "intel_iommu", "cache_tag_flush_range", id: 310,
    [
        .init("__data_loc char[] iommu", 4), .init("__data_loc char[] dev", 4), .init("u16 type", 2),
        .init("u16 domain_id", 2),
        .init("u32 pasid", 4), .init("unsigned long start"), .init("unsigned long end"), .init("unsigned long addr"),
        .init("unsigned long pages"), .init("unsigned long mask"),
    ], print: "\"%s\", __print_symbolic(REC->type, { 0, \"iotlb\" }, { 1, \"devtlb\" })")
let scatterList = RecordedEvent(
    "dma", "dma_map_sg", id: 311,
    [
        .init("__data_loc char[] device", 4), .init("__data_loc u64[] phys_addrs", 4),
        .init("__data_loc u64[] dma_addrs", 4),
        .init("__data_loc unsigned int[] lengths", 4), .init("enum dma_data_direction dir", 4),
        .init("unsigned long attrs"),
    ])
let probe = RecordedEvent(
    "kprobes", "unmap_ret", id: 312,
    [
        .init("unsigned long __probe_func"), .init("unsigned long __probe_ret_ip"), .init("u64 domain"),
        .init("u64 iova"),
    ],
    print: "\"(%lx <- %lx) domain=0x%Lx iova=0x%Lx\", REC->__probe_func, REC->__probe_ret_ip, REC->domain, REC->iova")
let known: [RecordedEvent] = [.map, .unmap, .attach, .submit, .marker, cacheFlush, scatterList, probe]

/// Records of the known events, whose bytes after the type are the input's.
func page(of bytes: ArraySlice<UInt8>) -> [UInt8] {
    var page = RingPageBytes(time: 1000)
    var rest = bytes
    while rest.count > 2, page.count < 3000 {
        let event = known[Int(rest[rest.startIndex]) % known.count]
        let count = Int(rest[rest.startIndex + 1] % 128)
        rest = rest.dropFirst(2)
        let fields = [UInt8](rest.prefix(count))
        rest = rest.dropFirst(count)
        let record = [UInt8(truncatingIfNeeded: event.id), UInt8(truncatingIfNeeded: event.id >> 8), 0, 0] + fields
        page.add(UInt64(count), record + [UInt8](repeating: 0, count: (4 - record.count % 4) % 4))
    }
    return page.bytes()
}

func aPage() -> [UInt8] {
    var page = RingPageBytes(time: 1000)
    page.add(10, RecordedEvent.aMap(0x1000))
    page.add(10, RecordedEvent.anUnmap(0x1000))
    page.add(10, probe.record(pid: 7, [.number(0xffff_ffff_8100_0010), .number(0x1234), .number(1), .number(0x1000)]))
    return page.bytes()
}

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "--seeds" {
    for form in 0..<UInt8(4) {
        var file = recording(form, cpus: [[aPage()], [aPage()]])
        file.events = known
        file.options = [(7, Array("-10\0".utf8)), (2, Array("CPU: 0\ndropped events: 12\n\0".utf8))]
        file.kernelSymbols = "ffffffff81000000 T iommu_unmap\n"
        try Data(file.bytes()).write(to: URL(filePath: CommandLine.arguments[2]).appending(path: "whole-\(form)"))
    }
    exit(0)
}

fuzz { bytes in
    guard let form = bytes.first, form != 0x17 else {
        log.read(bytes)
        return
    }
    let rest = [UInt8](bytes.dropFirst())
    var file = recording(form, cpus: [[aPage()], [aPage()]])
    file.events = known
    switch form >> 2 & 7 {
    case 0:
        // As many pages as the bytes fill, on two CPUs.
        let pages = stride(from: 0, to: rest.count, by: 4096).map { start in
            let page = rest[start..<min(start + 4096, rest.count)]
            return page + [UInt8](repeating: 0, count: 4096 - page.count)
        }
        file = recording(form, cpus: [pages.map { Array($0) }, [aPage()]])
        file.events = known
    case 1, 2:
        file = recording(form, cpus: [[page(of: rest[...])], [aPage()]])
        file.events = known
    case 3, 4: file.events[0].wrongFormat = String(decoding: rest, as: UTF8.self)
    case 5: file.comms = String(decoding: rest, as: UTF8.self)
    case 6: file.kernelSymbols = String(decoding: rest, as: UTF8.self)
    default:
        guard rest.count > 1 else { return }
        file.options = [(UInt16(rest[0] % 24), Array(rest.dropFirst()))]
    }
    file.bytes().withUnsafeBytes { _ = log.read($0) }
}
