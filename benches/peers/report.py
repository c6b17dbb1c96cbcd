"""The medians of `run`'s rounds, as a table and as results.json: `report.py VERSIONS ROUNDS RESULTS`.

Exits with 1 when a measurement failed.
"""

import json
import os
import platform
import statistics
import sys


def median(rounds: list[dict], name: str) -> float | None:
    values = [one[name] for one in rounds if one[name] is not None]
    return round(statistics.median(values), 3) if values else None


def row(system: dict, clients: int, runs: list[dict]) -> dict:
    good = [run["figures"] for run in runs if run["figures"] is not None]
    for figures in good:
        figures["orders_per_s"] = figures["orders"] / figures["seconds"]
    names = ("orders_per_s", "p50_ms", "p99_ms")
    rates = [round(figures["orders_per_s"], 1) for figures in good]
    return system | {"clients": clients, "rates": rates, "failed": len(runs) - len(good)} | {n: median(good, n) for n in names}


def add_ratios(rows: list[dict]) -> None:
    """What shares a path with Paystate is like for like; a system in process is set beside Paystate over HTTP too."""
    paystate = {(row["path"], row["clients"]): row["orders_per_s"] for row in rows if row["title"] == "Paystate"}
    for row in rows:
        for path in ("HTTP", "in process"):
            ours = paystate.get((path, row["clients"]))
            unlike = row["path"] == "HTTP" and path != "HTTP"
            ratio = None if unlike or not ours or row["orders_per_s"] is None else round(row["orders_per_s"] / ours, 4)
            row[f"ratio_to_paystate_{path.lower().replace(' ', '_')}"] = ratio


def cell(value: object, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}" if isinstance(value, (int, float)) else str(value)


def table(rows: list[dict]) -> str:
    head = ["system", "version", "path", "clients", "orders/s", "p50 ms", "p99 ms", "ratio to HTTP", "ratio to in process"]
    lines = [head, ["---"] * 3 + ["---:"] * 6]
    for row in rows:
        failed = f" ({row['failed']} failed)" if row["failed"] else ""
        rate = cell(row["orders_per_s"], 0 if (row["orders_per_s"] or 0) >= 100 else 1) + failed
        ratios = [cell(row[f"ratio_to_paystate_{path}"], 3) for path in ("http", "in_process")]
        latencies = [cell(row["p50_ms"], 1), cell(row["p99_ms"], 1)]
        lines.append([row["title"], row["version"], row["path"], cell(row["clients"]), rate, *latencies, *ratios])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def main() -> int:
    versions, rounds, results = sys.argv[1:]
    with open(versions) as file:
        fields = ("system", "version", "title", "path", "durability")
        systems = [dict(zip(fields, line.rstrip("\n").split("\t"), strict=True)) for line in file]
    with open(rounds) as file:
        runs = [json.loads(line) for line in file]
    counts = list(dict.fromkeys(run["clients"] for run in runs))
    rows = []
    for system in systems:
        for count in counts:
            rows.append(row(system, count, [r for r in runs if (r["system"], r["clients"]) == (system["system"], count)]))
    add_ratios(rows)
    print(table(rows))
    print("\nRatios are to Paystate's orders/s over that path, with as many clients.")
    print("\nDurability:")
    for system in systems:
        print(f"  {system['title']}, {system['path']}: {system['durability']}")
    load = os.getloadavg()[0]
    machine = {"kernel": platform.release(), "cores": os.cpu_count(), "load_at_the_end": load}
    with open(results, "w") as file:
        json.dump({"machine": machine, "rows": rows}, file, indent=2)
    print(f"\nWritten to {results}; {os.cpu_count()} cores, load at the end {load:.1f}.")
    return 1 if any(row["failed"] for row in rows) else 0


sys.exit(main())
