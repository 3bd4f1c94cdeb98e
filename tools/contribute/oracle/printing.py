"""A count as tables."""

from .columns import COUNTS, HAZARDS, WINDOWS


def print_count(count):
    print(count["log"])
    print(f"  damaged lines {count['damaged_lines']}, lost events {count['lost_events']}, "
          f"unmap calls {count['unmap_calls']}, {'deferred' if count['deferred'] else 'not deferred'}")
    for title in ("events", "operations"):
        print(f"  {title}: " + ", ".join(f"{name} {number}" for name, number in count[title].items()))
    print(f"  domains ({len(count['domains'])}): " + ", ".join(count["domains"]))
    print_rows(count["savings"], COUNTS, needed=("unmap_calls", "flushes"))
    print_rows(count["windows"], WINDOWS)
    print_rows(count["windows"], HAZARDS)


def print_rows(rows, columns, needed=None):
    """A table of some columns; a domain's row only where one of those needed is not 0."""
    print(f"  {'policy':<22} {'domain':<22} " + " ".join(f"{name:>{width(name)}}" for name in columns))
    for row in rows:
        if row["domain"] is None or any(row[name] for name in needed or columns):
            print(f"  {row['policy']:<22} {row['domain'] or 'whole trace':<22} "
                  + " ".join(f"{cell(row[name]):>{width(name)}}" for name in columns))


def width(name):
    return max(11, len(name))


def cell(value):
    return "-" if value is None else f"{value:.6f}" if isinstance(value, float) else value
