"""Lines to events: what a log holds, line by line, and what of it is no event."""

import bisect
import gzip
import re
import sys
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Event(NamedTuple):
    """One line. `form` tells apart what shares a name: the kprobe `map` is an attempt, the tracepoint a success."""

    line: int
    cpu: int
    task: int
    time: int
    name: str
    form: str
    fields: dict
    body: str


PROBE, TRACEPOINT, OTHER = "probe", "tracepoint", "other"

# A comm may hold spaces, dashes and even "[000] ": the greedy start takes the last place where everything fits.
LINE = re.compile(r".*-(?P<task>\d+)\s+(?:\(\s*(?:\d+|-+)\)\s+)?\[(?P<cpu>\d+)\]\s+(?:\S+\s+)?"
                  r"(?P<time>\d+(?:\.\d+)?):\s+(?P<name>[^\s:]+):(?:\s+(?P<body>.*))?$")
LOST = re.compile(r"CPU:\d+ \[(?:LOST (?P<lost>\d+ )?EVENTS|(?P<dropped>\d+ )?EVENTS DROPPED)\]")
FIELD = re.compile(r'(\w+)=("[^"]*"|\S+)')
FAULT = re.compile(r"IOMMU:\s*\S+ (?P<device>\S+) iova=(?P<iova>0x[0-9a-f]+)")

# What a line must carry to be counted; the rest of its fields may be missing.
REQUIRED = {
    ("map", PROBE): ("domain", "iova", "size"),
    ("map", TRACEPOINT): ("iova", "size"),
    ("unmap", PROBE): ("domain", "iova", "size"),
    ("unmap", TRACEPOINT): ("iova", "size", "unmapped_size"),
    ("unmap_fast", PROBE): ("domain", "iova", "size"),
    ("unmapped", PROBE): ("iova", "size", "unmapped"),
    ("unmap_ret", PROBE): ("unmapped",),
    ("unmap_fast_ret", PROBE): ("unmapped",),
    ("sync", PROBE): ("domain",),
    ("flush_all", PROBE): ("domain",),
    ("attach", PROBE): ("domain",),
    ("domain_alloc", PROBE): ("domain",),
    ("domain_free", PROBE): ("domain",),
}


@dataclass
class Log:
    """The events of one file, and what in it is no event."""

    events: list = field(default_factory=list)
    damaged_lines: int = 0
    lost_events: int = 0
    loss_lines: list = field(default_factory=list)

    def names(self):
        return Counter(event.name for event in self.events)

    def end(self):
        return max((event.time for event in self.events), default=0)

    def lost_between(self, first, last):
        """Whether the log announces a loss between two lines, on whatever CPU (design §4 15)."""
        return bisect.bisect(self.loss_lines, first) != bisect.bisect(self.loss_lines, last)


def read_log(path):
    """Read a plain or gzip log; of a damaged archive, what came before the damage."""
    log = Log()
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        try:
            for number, raw in enumerate(file, start=1):
                read_line(log, number, raw.decode("utf-8", "replace").rstrip("\r\n"))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            print(f"{path}: damaged archive, counting what came before: {error}", file=sys.stderr)
    return log


def read_line(log, number, text):
    if not text.strip() or text.startswith("#"):
        return
    if lost := LOST.match(text):
        log.lost_events += int(lost["lost"] or lost["dropped"] or 1)
        log.loss_lines.append(number)
    elif event := parse_event(number, text):
        log.events.append(event)
    else:
        log.damaged_lines += 1


def parse_event(number, text):
    """The event of a line, or None where the line, or a number that it must carry, makes no sense."""
    match = LINE.match(text)
    if not match:
        return None
    body = match["body"] or ""
    form = PROBE if body.startswith("(") else TRACEPOINT if body.startswith("IOMMU:") else OTHER
    fields = {} if form == OTHER else {key: number_or_text(value) for key, value in FIELD.findall(body)}
    event = Event(number, int(match["cpu"]), int(match["task"]), nanoseconds(match["time"]), match["name"], form,
                  fields, body)
    return event if is_plausible(event) else None


def nanoseconds(stamp):
    """Digits after the dot are a fraction of a second; a bare number is a counter clock and stays what it is."""
    seconds, dot, fraction = stamp.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9]) if dot else int(seconds)


def number_or_text(value):
    try:
        return int(value, 16) if value.startswith("0x") else int(value)
    except ValueError:
        return value.strip('"')


def is_plausible(event):
    needed = REQUIRED.get((event.name, event.form), ())
    if not all(isinstance(event.fields.get(key), int) for key in needed):
        return False
    if "iova" not in needed:
        return True
    iova, size = event.fields["iova"], event.fields["size"]
    return iova + size <= 1 << 64 and max(size, event.fields.get("unmapped_size", 0)) <= 1 << 57
