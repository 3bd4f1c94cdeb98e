"""Disjoint address ranges."""

import bisect


class RangeMap:
    """Disjoint address ranges in order, each with a value."""

    def __init__(self):
        self.starts, self.ends, self.values = [], [], []

    def __bool__(self):
        return bool(self.starts)

    def indices(self, start, end):
        """Where the ranges are that overlap this one."""
        first = bisect.bisect_right(self.ends, start)
        return first, max(first, bisect.bisect_left(self.starts, end)) if start < end else first

    def within(self, start, end):
        """What lies inside, as (start, end, value), cut off where it goes beyond."""
        first, last = self.indices(start, end)
        return [(max(start, self.starts[index]), min(end, self.ends[index]), self.values[index])
                for index in range(first, last)]

    def remove(self, start, end):
        """Take out what lies inside, and return it."""
        first, last = self.indices(start, end)
        if first == last:
            return []
        removed = self.within(start, end)
        kept = [(self.starts[first], start, self.values[first]), (end, self.ends[last - 1], self.values[last - 1])]
        kept = [part for part in kept if part[0] < part[1]]
        self.starts[first:last] = [part[0] for part in kept]
        self.ends[first:last] = [part[1] for part in kept]
        self.values[first:last] = [part[2] for part in kept]
        return removed

    def put(self, start, end, value=None):
        """Set the value of a whole range; return what was there."""
        removed = self.remove(start, end)
        if start < end:
            place = bisect.bisect_left(self.starts, start)
            self.starts.insert(place, start)
            self.ends.insert(place, end)
            self.values.insert(place, value)
        return removed


def joined(ranges):
    """The same addresses as ranges that neither overlap nor touch; empty ones cover nothing."""
    result = []
    for start, end in sorted(part for part in ranges if part[0] < part[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def split(start, end, covers):
    """A range cut where `covers` begin and end, which are disjoint and in order: (start, end, whether covered)."""
    for low, high in covers:
        low, high = max(low, start), min(high, end)
        if low < high:
            if start < low:
                yield start, low, False
            yield low, high, True
            start = high
    if start < end:
        yield start, end, False
