"""Processes: started, measured, ended. What they cost comes from /proc."""

import os
import pathlib
import signal
import socket
import subprocess
import time

TICK_MS = 1_000 / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, condition, seconds=60, pause=0.05):
    """What the condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        there = condition()
        if there:
            return there
        time.sleep(pause)
    raise SystemExit(f"not within {seconds} s: {what}")


def stat(pid):
    """The fields of /proc/<pid>/stat after the name, which may hold anything. None: it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def children(pid):
    try:
        listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def cpu_ms(pid):
    """What a process has used, with its children: those that live, and those that it has waited for."""
    fields = stat(pid)
    if not fields:
        return 0.0
    return sum(map(int, fields[11:15])) * TICK_MS + sum(cpu_ms(child) for child in children(pid))


def busy_ms():
    """What all processors have been busy, and what they could have been, since the machine started."""
    fields = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * TICK_MS, sum(fields) * TICK_MS


def memory_mb(pid, field="VmRSS"):
    """VmRSS: what it holds now. VmHWM: the most that it ever held."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1_024
    raise SystemExit(f"{pid} has no {field}")


class Process:
    """A child with its log in a file. It is signalled through `Popen`, which knows whether it still is ours."""

    def __init__(self, name, command, log, environment=None, stop=signal.SIGTERM, **more):
        self.name, self.log, self.stop_signal = name, log, stop
        with open(log, "w") as file:
            self.began = time.monotonic()
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env=environment, start_new_session=True, **more)

    @property
    def pid(self):
        return self.process.pid

    def must_run(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} has ended; see {self.log}")

    def cpu_ms(self):
        return cpu_ms(self.pid)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Meter:
    """What some processes cost between two moments."""

    def __init__(self, **processes):
        self.processes = processes
        self.began = time.monotonic()
        self.before = {name: process.cpu_ms() for name, process in processes.items()}
        self.machine = busy_ms()

    def read(self, number):
        """`{"api": CPU ms for each of `number` things, …}`, and how full the machine was."""
        used = {name: process.cpu_ms() - self.before[name] for name, process in self.processes.items()}
        busy, possible = (after - before for after, before in zip(busy_ms(), self.machine))
        each = {name: round(ms / max(number, 1), 4) for name, ms in used.items()}
        return {"cpu_ms_each": each, "machine_busy": round(busy / max(possible, 1), 3)}
