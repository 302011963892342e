"""What makes the load: wrk as fast as it is answered, vegeta at a fixed rate, pgbench for the reference.

vegeta counts from when it sent. Here latency counts from when a request was to be sent: request n of a rate is due at
the beginning + n / rate, and each result has its n.
"""

import base64
import csv
import json
import os
import pathlib
import re
import resource
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
CONNECTIONS = 16
# vegeta is not to collect garbage while it measures.
GO = {"GOGC": "off", "GOMEMLIMIT": "2GiB"}
# What waits to be sent is not to be written to the disk that Postgres waits for.
FILES = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Generators:
    def __init__(self):
        said = subprocess.run([HERE / "tools.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.wrk, self.vegeta = said.split()

    def saturate(self, api, requests, seconds):
        """As fast as 16 connections are answered: requests a second, and what the generator itself cost each."""
        with tempfile.NamedTemporaryFile(dir=FILES, prefix="bench-") as file:
            write(file, (b"%08d" % len(raw) + raw for raw in (request.raw(api.address) for request in requests)))
            command = [self.wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "replay.lua", api.url]
            said, cost = run(command, dict(os.environ, REQUESTS=file.name))
        result = json.loads(said.splitlines()[-1])
        if result["refused"] or result["lost"] or not result["requests"]:
            raise SystemExit(f"not all requests were answered well: {result}; see the API's log")
        result["per_second"] = round(result["requests"] / (result.pop("micros") / 1e6), 1)
        result["generator_cpu_ms_each"] = round(cost / result["requests"], 4)
        return result

    def all_of(self, api, requests):
        """Sends each once, as fast as 16 connections are answered, and gives how many seconds that took."""
        rows, _ = self.attack(api, requests, "-rate", "0", "-max-workers", str(CONNECTIONS), "-duration", "0", "-lazy")
        # The last row says that nothing is left to send.
        rows = [row for row in rows if row[4] != "no targets to attack"]
        must_be_good(rows, len(requests))
        return (max(sent + latency for _, sent, _, latency, _ in rows) - min(sent for _, sent, *_ in rows)) / 1_000

    def at_rate(self, api, requests, rate, seconds):
        """At a fixed rate, whatever becomes of those before: latencies from when each was due, in ms."""
        number = max(1, round(rate * seconds))
        # A rate as vegeta takes it: so many in so many whole seconds.
        rows, cost = self.attack(api, requests, "-rate", f"{number}/{seconds}s", "-duration", f"{seconds}s")
        must_be_good(rows, number)
        pause = seconds * 1_000 / number
        began = min(sent - n * pause for n, sent, *_ in rows)
        took = [sent + latency - (began + n * pause) for n, sent, _, latency, _ in rows]
        late = sorted(sent - (began + n * pause) for n, sent, *_ in rows)
        return {"per_second": round(rate, 1), "requests": len(rows), **percentiles(took),
                "sent_late_p99_ms": round(at(late, 0.99), 3), "generator_cpu_ms_each": round(cost / len(rows), 4)}

    def attack(self, api, requests, *options):
        """What became of each request: its number, when it was sent, status, latency, error (times in ms). And the cost."""
        with tempfile.NamedTemporaryFile(dir=FILES, prefix="bench-") as targets, \
                tempfile.NamedTemporaryFile(dir=FILES, prefix="bench-") as results:
            write(targets, (target(api, request) for request in requests))
            command = [self.vegeta, "attack", "-format", "json", "-targets", targets.name, "-connections", "256",
                       "-workers", str(CONNECTIONS), "-max-body", "0", "-timeout", "10s", "-output", results.name, *options]
            _, cost = run(command, dict(os.environ, **GO))
            said, _ = run([self.vegeta, "encode", "-to", "csv", results.name])
        return [(int(row[8]), int(row[0]) / 1e6, int(row[1]), int(row[2]) / 1e6, row[5])
                for row in csv.reader(said.splitlines())], cost


def must_be_good(rows, number):
    bad = [(code, error) for _, _, code, _, error in rows if not 200 <= code < 300]
    if bad or abs(len(rows) - number) > 1 + number // 100:
        raise SystemExit(f"{len(bad)} of {len(rows)} requests (of {number}) were not answered well, as {bad[:1]}")


def target(api, request):
    made = {"method": request.method, "url": api.url + request.path, "header": {name: [value] for name, value in request.headers.items()}}
    if request.body:
        made["body"] = base64.b64encode(request.body).decode()
    return json.dumps(made).encode() + b"\n"


def pgbench(servers, database, script, seconds, **variables):
    """Transactions a second of a script, over as many connections as the API's load has."""
    command = [servers.postgres_programs / "pgbench", *servers.address(database), "-n", "-M", "prepared", "-c", CONNECTIONS,
               "-j", 2, "-T", seconds, "-f", HERE / script]
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
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed ({done.returncode}): {done.stdout}{done.stderr}")
    return done.stdout, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1_000


def write(file, parts):
    for part in parts:
        file.write(part)
    file.flush()


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def percentiles(values):
    values = sorted(values)
    return {f"p{name}_ms": round(at(values, share), 3) for name, share in (("50", 0.5), ("99", 0.99), ("999", 0.999))}
