"""What makes the load: wrk, as fast as it is answered or at a fixed rate; pgbench for the reference.

wrk counts latency from when it sent. At a fixed rate it counts here from when a request was to be sent: see replay.lua.
"""

import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).parent
CONNECTIONS = 16
# At a fixed rate: so many that none waits for the one before, as long as answers come within a moment.
SENDERS = 32
# What waits to be sent is not to be written to the disk that Postgres waits for.
FILES = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# Until all connections are there.
BEGINS = 0.5


class Generators:
    def __init__(self):
        self.wrk = subprocess.run([HERE / "tools.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def saturate(self, api, requests, seconds):
        """As fast as 16 connections are answered: requests a second, and what the generator itself cost each."""
        with tempfile.TemporaryDirectory(dir=FILES, prefix="bench-") as folder:
            write(f"{folder}/requests", [request.raw(api.address) for request in requests])
            command = [self.wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "replay.lua", api.url]
            said, cost = run(command, dict(os.environ, REQUESTS=f"{folder}/requests"))
        result = json.loads(said.splitlines()[-1])
        must_be_good(result)
        result["per_second"] = round(result["requests"] / (result.pop("micros") / 1e6), 1)
        result["generator_cpu_ms_each"] = round(cost / result["requests"], 4)
        return result

    def all_of(self, api, requests):
        """Sends each once, as fast as 16 connections are answered, and gives how many seconds that took."""
        began = time.monotonic()
        self.send(api, requests, CONNECTIONS, 0, began)
        return time.monotonic() - began

    def at_rate(self, api, requests, rate, seconds):
        """At a fixed rate, whatever becomes of those before: latencies from when each was due, in ms."""
        number = max(1, round(rate * seconds))
        result, cost = self.send(api, requests[:number], min(SENDERS, number), rate, time.monotonic() + BEGINS)
        took, late = ([micros / 1_000 for micros in result[name]] for name in ("took", "late"))
        return {"per_second": round(rate, 1), "requests": len(took), **percentiles(took),
                "sent_late_p99_ms": round(at(sorted(late), 0.99), 3), "generator_cpu_ms_each": round(cost / len(took), 4)}

    def send(self, api, requests, senders, rate, start):
        """Has each sender send its share. What came of it, and what that cost."""
        with tempfile.TemporaryDirectory(dir=FILES, prefix="bench-") as folder:
            for sender in range(senders):
                share = [request.raw(api.address) for request in requests[sender::senders]]
                write(f"{folder}/requests.{sender}", share, counted=True)
            # It is told when all have finished.
            command = [self.wrk, f"-t{senders}", f"-c{senders}", "-d120s", "--timeout", "20s", "-s", HERE / "replay.lua", api.url]
            settings = dict(os.environ, REQUESTS=f"{folder}/requests", RATE=str(rate), START=repr(start), THREADS=str(senders))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with subprocess.Popen([str(part) for part in command], env=settings, stdout=subprocess.PIPE, text=True) as wrk:
                finished, last = 0, ""
                for line in wrk.stdout:
                    finished += line == "finished\n"
                    if finished == senders and line == "finished\n":
                        wrk.send_signal(signal.SIGINT)
                    last = line if line.startswith("{") else last
        cost = spent_since(before)
        if wrk.returncode or not last:
            raise SystemExit(f"wrk failed ({wrk.returncode}); see the API's log")
        result = json.loads(last)
        result["requests"] = len(result["took"])
        must_be_good(result)
        if result["requests"] != len(requests):
            raise SystemExit(f"{result['requests']} of {len(requests)} requests were answered")
        return result, cost


def must_be_good(result):
    if result["refused"] or result["lost"] or not result["requests"]:
        counts = {name: result[name] for name in ("requests", "refused", "lost")}
        raise SystemExit(f"not all requests were answered well: {counts}; see the API's log")


def pgbench(servers, database, script, seconds, **variables):
    """Transactions a second of a script, over as many connections as the API's load has."""
    command = [servers.postgres_programs / "pgbench", *servers.address(database), "-n", "-M", "prepared", "-c", CONNECTIONS,
               "-j", 2, "-T", seconds, "-f", script]
    for name, value in variables.items():
        command += ["-D", f"{name}={value}"]
    said, cost = run(command, servers.client_environment())
    done = int(re.search(r"transactions actually processed: (\d+)", said)[1])
    failed = re.search(r"failed transactions: (\d+)", said)
    if not done or failed and int(failed[1]):
        raise SystemExit(f"pgbench: {said}")
    per_second = float(re.search(r"tps = ([\d.]+)", said)[1])
    return {"requests": done, "per_second": round(per_second, 1), "generator_cpu_ms_each": round(cost / done, 4),
            "latency_mean_ms": float(re.search(r"latency average = ([\d.]+)", said)[1])}


def run(command, environment=None):
    """What a program printed, and the CPU time that it took, in ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}): {done.stdout}{done.stderr}")
    return done.stdout, spent_since(before)


def spent_since(before):
    """CPU time of the programs that have ended since, in ms."""
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1_000


def write(path, requests, counted=False):
    """Each with its length before it; before all, if need be, how many there are."""
    with open(path, "wb") as file:
        if counted:
            file.write(b"%08d" % len(requests))
        for raw in requests:
            file.write(b"%08d" % len(raw) + raw)


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def percentiles(values):
    values = sorted(values)
    return {f"p{name}_ms": round(at(values, share), 3) for name, share in (("50", 0.5), ("99", 0.99), ("999", 0.999))}
