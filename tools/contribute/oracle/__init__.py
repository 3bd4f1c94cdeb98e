"""The parts of `tools/oracle`, an independent computation of what iommu-trace reports.

It follows docs/definitions.md and docs/model.md and shares no code with the tool. A log goes through the parts in this
order:

    events      lines -> events
    reading     events -> operations (operation: what they are)
    memory      who has which page and device at each operation; the same under all policies
    policy      when flushes happen: the base and the plain ones; then flush_queue, vfio, recorded; named makes one from
                its name
    windows     what is stale between unmap and flush, and what happens then
    count       one walk per policy over the operations; the result as plain values
    printing    as tables;  comparing: against the tool;  command: the command line

ranges and pages are what several of them need: disjoint address ranges, the kernel's choice of page sizes.
"""
