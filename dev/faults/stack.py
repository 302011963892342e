"""A stack of its own for one seed: started, addressed, stopped.

It is the stack of `make run`, in a directory of its own. Its processes are only ever signalled after `ps` has said that
they are children of that stack: a pid that was read a moment ago may belong to somebody else by now.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.parse

# What the environment may hold that would make it another stack.
NOT_OURS = ("DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET")


class Stack:
    def __init__(self, programs, directory, workers=3):
        self.programs, self.directory, self.workers = pathlib.Path(programs), pathlib.Path(directory), workers
        self.process, self.known = None, {}

    def start(self):
        """Starts it and waits until it answers."""
        self.forget()
        self.directory.mkdir(parents=True)
        environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        environment.update(
            WORKERS=str(self.workers), PORT=str(free_port()),
            RATE_LIMIT_WRITES="0", RATE_LIMIT_READS="0", RATE_LIMIT_ANONYMOUS="0",
        )
        with open(self.directory / "stack.log", "w") as log:
            self.process = subprocess.Popen(
                [self.programs / "payment-stack", "run"], cwd=self.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        end = time.monotonic() + 120
        while not self.state():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the stack did not start; see {self.directory / 'stack.log'}")
            time.sleep(0.1)

    def stop(self):
        """Stops it with everything in it."""
        if self.process and self.process.poll() is None:
            # What sleeps does not hear that it is to end.
            self.wake_all()
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def forget(self):
        """Removes what an earlier run left, Postgres' directory too, wherever it lies."""
        if (self.directory / ".dev").exists():
            subprocess.run([self.programs / "payment-stack", "clean"], cwd=self.directory, check=False,
                           stdout=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def state(self):
        """What `.dev/stack.json` holds. It is written whole or not at all."""
        try:
            self.known = json.loads((self.directory / ".dev/stack.json").read_text())
        except (OSError, ValueError):
            pass
        return self.known

    def secret(self, name):
        return (self.directory / ".dev" / name).read_text().strip()

    # Processes

    def pids(self, name):
        pids = self.state()["pids"].get(name)
        return pids if isinstance(pids, list) else [pids]

    def signal(self, pid, number):
        """Whether the process is one of the stack's, and got the signal."""
        return pid in children(self.process.pid) and kill(pid, number)

    def signal_sessions(self, number):
        """Signals the processes that serve Postgres' clients. How many got it."""
        return sum(kill(pid, number) for postgres in self.pids("postgres")
                   if postgres in children(self.process.pid) for pid, command in children(postgres).items()
                   if "127.0.0.1" in command)

    def wake_all(self):
        """Wakes whatever of it is stopped."""
        for pid in children(self.process.pid):
            for child in [pid, *children(pid)]:
                kill(child, signal.SIGCONT)

    # HTTP

    def http(self, method, base, path, body=None, headers=None, timeout=20, context=None):
        """One request on a connection of its own: `(status, bytes)`. Fails as `http.client` and sockets do."""
        url = urllib.parse.urlsplit(base)
        if url.scheme == "https":
            connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
        try:
            # Connected first: what fails before it was not sent, for certain.
            connection.connect()
        except OSError as error:
            raise NotSent(str(error)) from error
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, url.path.rstrip("/") + path, data,
                               {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def control(self, provider, method, path, body=None):
        """The control API of a simulator, which no fault touches. What it refuses is given back as it is."""
        base = self.known["stripe_simulator_url" if provider == "stripe" else "swish_control_url"]
        return json.loads(self.http(method, base, "/_control" + path, body, timeout=60)[1] or b"null")

    def get(self, path, token="token", tries=300):
        """Reads from the API, as often as it takes."""
        for _ in range(tries):
            try:
                status, answer = self.http("GET", self.known["api_url"], path,
                                           headers={"Authorization": "Bearer " + self.known[token]})
                if status < 500:
                    return json.loads(answer) if status == 200 else None
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        raise SystemExit(f"the API does not answer: GET {path}")

    def all_pages(self, path, token="token"):
        cursor, rows = "", []
        while True:
            page = self.get(f"{path}?limit=100{cursor}", token)
            rows += page["data"]
            if not page.get("has_more"):
                return rows
            cursor = "&starting_after=" + page["next_cursor"]

    def use_up_faults(self):
        """Faults that nobody ran into would go on after the storm: asks for nothing until they are used up."""
        for _ in range(400):
            if not any(fault["operation"] == "*" and not fault["mode"].startswith("webhook:")
                       for fault in self.control("stripe", "GET", "/faults")["data"]):
                break
            self.ignore(self.known["stripe_simulator_url"], "/v1/customers",
                        {"Authorization": "Bearer sk_test_x"})
        context = ssl.create_default_context(cafile=self.known["swish_ca"])
        context.load_cert_chain(self.known["swish_certificate"], self.known["swish_certificate_key"])
        for _ in range(400):
            if not any(fault["operation"] == "*" and not fault["mode"].startswith("webhook:")
                       for fault in self.control("swish", "GET", "/faults")["data"]):
                break
            self.ignore(self.known["swish_simulator_url"], "/v1/paymentrequests/" + 32 * "0", {}, context)

    def ignore(self, base, path, headers, context=None):
        try:
            self.http("GET", base, path, headers=headers, context=context)
        except (OSError, http.client.HTTPException):
            pass

    # The servers

    def query(self, sql):
        """What a query gives, as JSON rows. Waits where Postgres is on its way back."""
        return json.loads(self.psql(f"SELECT coalesce(json_agg(rows), '[]') FROM ({sql}) AS rows"))

    def psql(self, sql, tries=300):
        url = urllib.parse.urlsplit(self.known["database_url"])
        environment = dict(os.environ, PGHOST=url.hostname, PGPORT=str(url.port), PGUSER=url.username,
                           PGPASSWORD=url.password, PGDATABASE=url.path[1:], PGCONNECT_TIMEOUT="5")
        said = None
        for _ in range(tries):
            said = subprocess.run([psql_program(), "-XAtqc", sql], env=environment, capture_output=True, text=True,
                                  check=False)
            if said.returncode == 0:
                return said.stdout.strip()
            time.sleep(0.2)
        raise SystemExit(f"psql: {said.stderr.strip() if said else 'not tried'}")

    def redis(self, command):
        """A command for Redis, without a client program. Whether it was done."""
        url = urllib.parse.urlsplit(self.known["redis_url"])
        try:
            with socket.create_connection((url.hostname, url.port), timeout=3) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(64).startswith(b"+OK")
        except OSError:
            return False


    def crowd(self):
        """Takes every connection that Postgres has left for others than its superuser: sessions that never give a password."""
        url = urllib.parse.urlsplit(self.known["database_url"])
        words = b"user\0" + url.username.encode() + b"\0database\0" + url.path[1:].encode() + b"\0\0"
        hello = struct.pack("!ii", 8 + len(words), 196_608) + words
        crowd = []
        for _ in range(400):
            try:
                connection = socket.create_connection((url.hostname, url.port), timeout=3)
                connection.sendall(hello)
                if not connection.recv(1) == b"R":
                    connection.close()
                    break
            except OSError:
                break
            crowd.append(connection)
        return crowd


class NotSent(OSError):
    """There was no connection: nothing happened."""


def children(parent):
    """The children of a process, and what each is called."""
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=False)
    rows = [line.split(None, 2) for line in said.stdout.splitlines()]
    return {int(row[0]): row[2] for row in rows if len(row) == 3 and row[1] == str(parent)}


def kill(pid, number):
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def psql_program():
    """As the stack finds Postgres' programs: Debian keeps some of them off the PATH."""
    found = shutil.which("psql")
    for pattern in ("/usr/lib/postgresql/*/bin/psql", "/usr/pgsql-*/bin/psql", "/opt/homebrew/opt/postgresql*/bin/psql",
                    "/usr/local/opt/postgresql*/bin/psql"):
        found = found or next((str(path) for path in sorted(pathlib.Path("/").glob(pattern[1:]), reverse=True)), None)
    if not found:
        raise SystemExit("psql is not installed; `make setup` installs it")
    return found
