"""The six-step order as a DBOS workflow in Python, driven by clients in the same process.

`six_steps.py CLIENTS WARMUP_SECONDS SECONDS POOL_SIZE` with DBOS_SYSTEM_DATABASE_URL set prints one line of JSON.
"""

import asyncio
import json
import os
import sys
import time

from dbos import DBOS, DBOSConfig

STEPS = ["one", "two", "three", "four", "five", "six"]


@DBOS.step()
async def step(name: str) -> dict[str, str]:
    # About a hundred bytes, as much as a step of `paystate bench` brings.
    order = "01890a5d-ac96-774b-bcce-b302099a8057"
    return {"id": f"{order}-{name}-1", "status": "approved", "at": "2026-01-01T00:00:00Z"}


@DBOS.workflow()
async def six_steps(_order: dict[str, int]) -> dict[str, str]:
    for name in STEPS:
        answer = await step(name)
        if answer["status"] != "approved":
            raise RuntimeError("a step was not approved")
    return {"status": "succeeded"}


async def client(window_from: float, window_to: float, latencies: list[float]) -> None:
    while (sent := time.monotonic()) < window_to:
        ended = await six_steps({"amount": 1000})
        now = time.monotonic()
        if ended["status"] != "succeeded":
            raise RuntimeError(f"an order ended as {ended}")
        if now >= window_from:
            latencies.append((now - sent) * 1000)


def percentile(latencies: list[float], percent: int) -> float | None:
    return latencies[min(len(latencies) * percent // 100, len(latencies) - 1)] if latencies else None


async def measure(clients: int, warmup: float, seconds: float) -> None:
    window_from = time.monotonic() + warmup
    latencies: list[float] = []
    await asyncio.gather(*(client(window_from, window_from + seconds, latencies) for _ in range(clients)))
    # What was under way at the end of the window was waited for, and counts with the time that it took.
    figures = {"orders": len(latencies), "seconds": time.monotonic() - window_from}
    latencies.sort()
    figures |= {"p50_ms": percentile(latencies, 50), "p99_ms": percentile(latencies, 99)}
    print(json.dumps(figures))


def main() -> None:
    clients, warmup, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    config: DBOSConfig = {
        "name": "peers",
        "system_database_url": os.environ["DBOS_SYSTEM_DATABASE_URL"],
        "sys_db_pool_size": int(sys.argv[4]),
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    asyncio.run(measure(clients, warmup, seconds))
    DBOS.destroy()


main()
