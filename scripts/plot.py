#!/usr/bin/env python3
"""Draws results of `bench` as SVG.

usage: plot.py RESULTS OUT

RESULTS is a directory with compare.jsonl and replay.jsonl, as `make bench` writes them. OUT is the
directory for the plots:

  cpu.svg      CPU per operation as ratios to the base, every scenario, with the project's goals
  items.svg    CPU per operation against the number of items
  misses.svg   miss ratio against memory, a panel for each trace
  latency.svg  latencies of the open loops by percentile
  python.svg   cost of a get, a set and a key of a get_many from Python (python.jsonl)
  node.svg     the same from Node (node.jsonl)

`make bench-python` and `make bench-node` write the last two files of results.

Equal results give equal files, byte for byte. If a result occurs twice, the later one counts.
"""

import json
import math
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

plt.rcParams.update(
    {
        "svg.hashsalt": "memcache-rs",  # names of clip paths and markers
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "legend.frameon": False,
    }
)

# A server has the same colour in every plot. Servers without a name here get the spare colours.
COLOURS = {"memcached": "#555555", "memcached-rs": "#c2410c", "pogocache": "#2563eb", "floor": "#b8b8b8"}
SPARE = ["#15803d", "#7e22ce", "#b45309", "#0e7490"]


# Longest bar of CPU ratios. A longer ratio stands inside its bar.
WIDEST = 1.7


class Results:
    """The lines of all files, the latest for each key."""

    def __init__(self, directory: Path):
        self.summaries = {}
        self.replays = {}
        for path in (directory / "compare.jsonl", directory / "replay.jsonl"):
            if not path.exists():
                continue
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry["kind"] == "summary":
                    self.summaries[entry["scenario"], entry["server"]] = entry
                elif entry["kind"] == "replay":
                    key = entry["trace"], entry["memory_mib"], entry["server"]
                    self.replays[key] = entry
        names = [entry["server"] for entry in [*self.summaries.values(), *self.replays.values()]]
        self.servers = list(dict.fromkeys(names))
        spare = iter(SPARE * 9)
        self.colours = {name: COLOURS.get(name) or next(spare) for name in self.servers}

    def of(self, server):
        """Returns the summaries of `server` that have a CPU time, in the order of the run."""
        return [
            entry
            for (_, name), entry in self.summaries.items()
            if name == server and entry["cpu_ns_per_operation"]["median"] is not None
        ]


def save(figure, out: Path, name: str):
    """Writes a figure, without a date, so that equal results give equal files."""
    path = out / name
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    print(path)


def panels(count: int, width: float, height: float):
    """Returns a figure and the axes of `count` panels, at most three in a row."""
    columns = 2 if count == 4 else min(count, 3)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.set_visible(False)
    return figure, flat[:count]


def legend(figure, axes):
    """Draws one legend for all panels, above them."""
    found = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=len(found))


def draw_cpu(results: Results, out: Path):
    """Draws bars of CPU time per operation, as ratios to the base."""
    scenarios = list(dict.fromkeys(scenario for scenario, _ in results.summaries))
    if not scenarios:
        return
    bases = {entry["base"] for entry in results.summaries.values()}
    shown = [server for server in results.servers if server not in bases and results.of(server)]
    height = 0.8 / max(len(shown), 1)
    figure, axis = plt.subplots(figsize=(8, 0.8 + len(scenarios) * 0.13 * (len(shown) + 1)))
    top = 0.0
    for index, server in enumerate(shown):
        for entry in results.of(server):
            ratio = entry["cpu_ns_per_operation"]["to_base"]
            if ratio is None:
                continue
            top = max(top, ratio)
            place = scenarios.index(entry["scenario"]) + (index - (len(shown) - 1) / 2) * height
            axis.barh(place, ratio, height * 0.92, color=results.colours[server])
            beyond = ratio > WIDEST
            axis.annotate(
                f"{ratio:.2f}",
                (min(ratio, WIDEST), place),
                (-2 if beyond else 2, 0),
                textcoords="offset points",
                ha="right" if beyond else "left",
                va="center",
                fontsize=6,
                color="white" if beyond else "black",
            )
        axis.barh(0, 0, color=results.colours[server], label=server)
    goals = {entry["scenario"]: entry["goal"] for entry in results.summaries.values() if entry["goal"]}
    for number, (scenario, goal) in enumerate(goals.items()):
        place = scenarios.index(scenario)
        axis.plot([goal, goal], [place - 0.45, place + 0.45], color="black", linewidth=1.6, label="" if number else "goal")
    base = ", ".join(sorted(bases))
    axis.axvline(1, color=results.colours.get(base, "#555555"), linewidth=1, label=f"{base} = 1")
    axis.set_yticks(range(len(scenarios)), scenarios)
    axis.set_ylim(len(scenarios) - 0.4, -0.6)
    axis.set_xlim(0, min(max(top, 1.0) * 1.08, WIDEST))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(f"server CPU time per operation, as a ratio to {base} (less is better)")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(shown) + 2)
    save(figure, out, "cpu.svg")


def draw_items(results: Results, out: Path):
    """Draws CPU time per operation against the number of items, for otherwise equal loads."""
    alike = ("protocol", "connections", "pipeline", "gets", "batch", "value_size", "open")
    families = {}
    for (scenario, server), entry in results.summaries.items():
        if entry["cpu_ns_per_operation"]["median"] is None or scenario.endswith("-zipf") or server == "floor":
            continue
        family = families.setdefault(tuple(entry[field] for field in alike), {})
        family.setdefault(server, []).append((entry["keys"], entry["cpu_ns_per_operation"]["median"], scenario))
    families = [family for family in families.values() if any(len(points) > 1 for points in family.values())]
    if not families:
        return
    figure, axes = panels(len(families), 3.4, 2.8)
    for axis, family in zip(axes, families):
        for server, points in family.items():
            points.sort()
            axis.plot(
                [keys for keys, _, _ in points],
                [cost for _, cost, _ in points],
                marker="o",
                markersize=4,
                color=results.colours[server],
                label=server,
            )
        axis.set_title(min((scenario for points in family.values() for _, _, scenario in points), key=len))
        axis.set_xscale("log")
        axis.set_xlabel("items")
        axis.set_ylim(0, axis.get_ylim()[1])
    axes[0].set_ylabel("CPU ns per operation")
    legend(figure, axes)
    save(figure, out, "items.svg")


def draw_misses(results: Results, out: Path):
    """Draws miss ratio curves."""
    traces = list(dict.fromkeys(trace for trace, _, _ in results.replays))
    if not traces:
        return
    figure, axes = panels(len(traces), 3.4, 2.8)
    for axis, trace in zip(axes, traces):
        for server in results.servers:
            points = sorted(
                (memory, entry["miss_ratio"])
                for (of, memory, by), entry in results.replays.items()
                if of == trace and by == server
            )
            if points:
                axis.plot(*zip(*points), marker="o", markersize=4, color=results.colours[server], label=server)
        sizes = sorted({memory for of, memory, _ in results.replays if of == trace})
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set_ylim(0, axis.get_ylim()[1])
        axis.set_title(trace.split(".")[0])
        axis.set_xlabel("memory limit, MiB")
    axes[0].set_ylabel("miss ratio")
    legend(figure, axes)
    save(figure, out, "misses.svg")


def draw_latency(results: Results, out: Path):
    """Draws latencies of the open loops by percentile."""
    open_loops = {}
    for (scenario, server), entry in results.summaries.items():
        if entry["open"] is not None and entry["percentiles_us"]:
            open_loops.setdefault(scenario, {})[server] = entry["percentiles_us"]
    if not open_loops:
        return
    figure, axes = panels(len(open_loops), 3.6, 2.8)
    for axis, (scenario, servers) in zip(axes, open_loops.items()):
        told = {}
        for server, percentiles in servers.items():
            places = [1 / (1 - percent / 100) for percent, _ in percentiles]
            told.update((place, f"{percent:g}") for place, (percent, _) in zip(places, percentiles))
            axis.plot(places, [us for _, us in percentiles], color=results.colours[server], label=server)
        marked = [place for place in sorted(told) if told[place] in ("50", "90", "99", "99.9", "99.99")]
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(marked, [told[place] for place in marked])
        axis.minorticks_off()
        axis.set_title(scenario)
        axis.set_xlabel("percentile")
    axes[0].set_ylabel("latency, µs")
    legend(figure, axes)
    save(figure, out, "latency.svg")


def draw_language(directory: Path, out: Path, language: str):
    """Draws bars of the time of operations from a language."""
    path = directory / f"{language}.jsonl"
    if not path.exists():
        return
    titles = {"get_many": "get_many, a key", "getMany": "getMany, a key"}
    # The Node package has three kinds of get. Other caches have one.
    ways = {"getInto": "get", "getString": "get"}
    shown = {}
    for entry in map(json.loads, path.read_text().splitlines()):
        if "ns" in entry:
            kind = entry[language]
            name = f"{entry['subject']}, {kind}" if kind in ways else entry["subject"]
            shown.setdefault(ways.get(kind, kind), []).append((entry["ns"], name))
    figure, axes = panels(len(shown), 3.6, 2.8)
    for axis, (kind, bars) in zip(axes, shown.items()):
        bars.sort(reverse=True)
        names = [name for _, name in bars]
        ours = ("memcache_rs", "memcache-rs")
        colours = [COLOURS["memcached-rs" if name.startswith(ours) else "floor"] for name in names]
        axis.barh(names, [ns for ns, _ in bars], color=colours)
        axis.set_xscale("log")
        axis.set_title(titles.get(kind, kind))
        axis.set_xlabel("ns")
        axis.grid(axis="y", visible=False)
        for place, (ns, _) in enumerate(bars):
            axis.annotate(f" {ns:.0f}", (ns, place), va="center")
        axis.margins(x=0.25)
    save(figure, out, f"{language}.svg")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results, out = Results(Path(sys.argv[1])), Path(sys.argv[2])
    if not results.servers:
        sys.exit(f"plot.py: no results in {sys.argv[1]}")
    out.mkdir(parents=True, exist_ok=True)
    for draw in (draw_cpu, draw_items, draw_misses, draw_latency):
        draw(results, out)
    for language in ("python", "node"):
        draw_language(Path(sys.argv[1]), out, language)


if __name__ == "__main__":
    main()
