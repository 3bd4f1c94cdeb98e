"""A count against what the tool says of the same log."""

import json
import math
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from .columns import COUNTS, HAZARDS, PAGE_SECONDS, PERCENTILES, WINDOWS
from .count import count_log
from .operation import KINDS


class ToolError(Exception):
    pass


IMPORTED_WITH_DAMAGE = 3


def run_tool(tool, *arguments, accepted=(0,)):
    result = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if result.returncode not in accepted:
        message = result.stderr.strip().splitlines() or ["no message"]
        raise ToolError(f"{arguments[0]} ended with {result.returncode}: {message[-1]}")
    return result.stdout


def ask_tool(tool, log, options):
    """The tool's own rows for a log: those of `report savings`, `report windows` and `report events`."""
    with tempfile.TemporaryDirectory() as folder:
        database = ("--db", str(Path(folder) / "oracle.db"))
        run_tool(tool, "import", "--assume-single-domain", log, *database, accepted=(0, IMPORTED_WITH_DAMAGE))
        policies = [word for text in options.policy for word in ("--policy", text)]
        run_tool(tool, "replay", *database, *policies, *options.passed_on)
        reports = (("savings", "--by", "trace"), ("windows", "--by", "trace"), ("events",))
        return [json.loads(run_tool(tool, "report", *report, "--format", "json", *database)) for report in reports]


def differences(count, savings, windows, events):
    """What the tool says and we do not, as readable phrases."""
    for stage, ours in (("event", count["events"]), ("operation", count["operations"])):
        theirs = Counter()
        for row in events:
            if row["stage"] == stage:
                theirs[row["name"]] += row["count"]
        names = sorted({*ours, *theirs}) if stage == "event" else KINDS
        for name in names:
            if theirs[name] != ours.get(name, 0):
                yield f"{stage} {name}: tool {theirs[name]}, oracle {ours.get(name, 0)}"
    for ours, theirs in paired(count, "savings", savings):
        if theirs is None:
            yield f"{ours['policy']}: not in the tool's report"
            continue
        for name in COUNTS:
            if (theirs[name] or 0) != ours[name]:
                yield f"{ours['policy']} {name}: tool {theirs[name]}, oracle {ours[name]}"
    shows_flushes = {row["policy"]: row["flushes"] > 0 for row in whole_trace(count, "savings")}
    for ours, theirs in paired(count, "windows", windows):
        if ours["policy"] == "recorded" and not shows_flushes["recorded"]:
            continue  # nothing is known there, and the tool says so
        if theirs is None:
            yield f"{ours['policy']}: not in the tool's report of windows"
            continue
        for name in (*WINDOWS, *HAZARDS):
            if name == "peak_stale_pages" and ours["policy"] == "vfio":
                # The tool counts a run's windows until it knows that the run has ended (design §4 11); here that is
                # known.
                agrees = theirs[name] >= ours[name]
            else:
                agrees = agree(name, ours, theirs)
            if not agrees:
                yield f"{ours['policy']} {name}: tool {theirs[name]}, oracle {ours[name]}"


def agree(name, ours, theirs):
    """Whether a number of the tool is ours, within what rounding and its histograms allow (design §4 16)."""
    exact, found = ours[name] or 0, theirs[name] or 0
    if name in PERCENTILES:
        return exact <= found <= min(exact * (1 + 1 / 128) + 1, ours["max_ns"] or 0)
    if name in PAGE_SECONDS:
        return math.isclose(exact, found, rel_tol=1e-9)
    return exact == found


def whole_trace(count, report):
    return [row for row in count[report] if row["domain"] is None]


def paired(count, report, rows):
    """Our rows of the whole trace, each with the tool's, which may call a policy by what it stands for."""
    for ours in whole_trace(count, report):
        yield ours, next((row for row in rows if row["domain"] is None
                          and ours["policy"] in (row["policy"], row["requested"])), None)


def queue_distance(count):
    """How far the modelled default queue is from the kernel's own flushes; None where the kernel had no queue."""
    flushes = {row["policy"]: row["flushes"] for row in whole_trace(count, "savings")}
    queue, recorded = flushes.get("queue=256,10ms"), flushes.get("recorded")
    if not count["deferred"] or queue is None or not recorded:
        return None
    return f"queue=256,10ms is {queue}, recorded {recorded}: {100 * (queue - recorded) / recorded:+.1f} %"


def compare_log(tool, log, options):
    """Print a line on one log; whether tool and oracle agree."""
    try:
        count = count_log(log, options)
        found = list(differences(count, *ask_tool(tool, log, options)))
    except ToolError as error:
        print(f"{log}: {error}")
        return False
    distance = queue_distance(count)
    print(f"{log}: {'; '.join(found) or 'ok'}" + (f" ({distance})" if distance else ""), flush=True)
    return not found
