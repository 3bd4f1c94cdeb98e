"""What the recorded kernel's driver does, by the release beside the log, else by what the log gives away (design §4 5, 7, 8)."""

import re
from pathlib import Path
from typing import NamedTuple


class Driver(NamedTuple):
    """`gather` is what its gather cannot take: "callbacks" of another length, "pages" of another size, or nothing ("anything")."""

    gather: str = "callbacks"
    takes_calls: bool = False  # one page-table callback for a whole call
    unlink_syncs: bool = False  # dma_iova_unlink syncs by itself in any domain


VENDORS = {"amd_cmd": "amd", "cmdq": "arm", "qi_submit": "intel", "cache_tag_flush_range": "intel"}
TAKES_CALLS_SINCE = {"intel": (7, 0), "amd": (7, 2), "arm": (7, 1)}


def recorded_driver(path, log):
    uname = read_uname(path)
    found = re.search(r"(\d+)\.(\d+)", uname)
    release = (int(found[1]), int(found[2])) if found else evident_release(log)
    vendor = next((VENDORS[event.name] for event in log.events if event.name in VENDORS), None)
    if vendor is None and release:
        vendor = "arm" if re.search("arm64|aarch64", uname) else "intel"
    gather = {"amd": "anything", "arm": "pages"}.get(vendor, "anything" if release and release >= (6, 19) else "callbacks")
    takes_calls = bool(release) and release >= TAKES_CALLS_SINCE.get(vendor, (99, 0))
    return Driver(gather, takes_calls, bool(release) and release >= (7, 0))


def read_uname(path):
    """What stands beside the log: `NAME.meta/uname` for `NAME.txt.gz`."""
    name = re.sub(r"\.txt(\.gz)?$", "", str(path))
    for folder in (f"{path}.meta", f"{name}.meta"):
        file = Path(folder, "uname")
        if file.is_file():
            return file.read_text(errors="replace")
    return ""


def evident_release(log):
    """Intel's driver syncs a range without a page size since its page tables are generic ones."""
    for event in log.events:
        fields = event.fields
        if (event.name == "sync" and event.body.startswith("(intel_iommu_tlb_sync") and fields.get("pgsize") == 0
                and isinstance(fields.get("start"), int) and fields["start"] <= fields.get("end", -1)):
            return (6, 19)
    return None


def mark_immediate(operations, driver):
    """Calls whose caller syncs by itself, past any flush queue (design §4 8)."""
    fast = [call for call in operations if call.kind == "unmap_fast" and call.returned is not None]
    queueing = {call.domain for call in fast if call.queued}
    for call in fast:
        call.immediate = not call.queued and (call.domain in queueing or call.unlinked and driver.unlink_syncs)
