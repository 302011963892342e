"""Postgres and Redis of the benchmark's own.

They run as `payment-stack run` runs them, as durable as in production; `payment-stack with` gives that up. Postgres' directory
is kept from one run to the next: it has a database with millions of payments.
"""

import hashlib
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess

from processes import Process, free_port, wait_until

SUPERUSER, TEMPLATE = "bench", "bench_template"
# Of 16 MB each: what `min_wal_size` keeps.
LOG_FILES = 60


class Servers:
    def __init__(self, programs, directory):
        self.programs, self.directory = pathlib.Path(programs), pathlib.Path(directory)
        self.logs = self.directory / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.running, self.postgres, self.redis = [], None, None
        self.postgres_programs, self.user = postgres_programs(), postgres_user()
        self.data = data_directory(self.directory, self.user)
        self.password = kept_secret(self.directory / "postgres.password")

    def start(self):
        self.start_postgres()
        self.make_log_files()
        self.start_redis()
        self.make_template()

    def start_postgres(self, *settings):
        """With more settings, if need be."""
        if not (self.data / "PG_VERSION").exists():
            self.init()
        self.port = free_port()
        command = [self.postgres_programs / "postgres", "-D", self.data]
        # When something was committed is what a worker's promptness is counted from.
        for setting in (f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=",
                        "max_connections=300", "track_commit_timestamp=on", "track_activity_query_size=16kB", "min_wal_size=1GB", "max_wal_size=4GB", *settings):
            command += ["-c", setting]
        # SIGINT: it ends without waiting for its clients.
        self.postgres = self.keep(Process("postgres", command, self.logs / "postgres.log", dict(os.environ, LC_ALL="C"),
                                          signal.SIGINT, **self.as_user()))
        # A server that was killed reads its log first.
        wait_until("Postgres answers", lambda: self.postgres.must_run() or self.answers(), 300)

    def init(self):
        file = self.data.with_name(self.data.name + ".initial-password")
        file.write_text(self.password)
        if self.user:
            os.chown(file, self.user.pw_uid, self.user.pw_gid)
        self.command("initdb", "-D", self.data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--auth=scram-sha-256",
                     "--pwfile", file)
        file.unlink()

    def answers(self):
        asked = [self.postgres_programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def must_be_durable(self):
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            if self.sql("postgres", f"SHOW {name}") != "on":
                raise SystemExit(f"{name} is off: what is measured would not be durable")

    def make_log_files(self):
        """As many files of the log as a server has that has run for a while, and uses again and again. A new one is written full
        of zeros first: a pause of tens of milliseconds each second, for us and the reference."""
        missing = LOG_FILES - len([file for file in (self.data / "pg_wal").iterdir() if len(file.name) == 24])
        if missing > 0:
            self.sql("postgres", *["SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()"] * missing, "CHECKPOINT")

    def start_redis(self):
        self.redis_port = free_port()
        place = self.directory / "redis"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.redis = self.keep(Process("redis", [
            "redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--daemonize", "no", "--dir", place,
            "--appendonly", "yes", "--maxmemory-policy", "noeviction"], self.logs / "redis.log"))
        wait_until("Redis answers", lambda: self.redis.must_run() or self.redis_says("PING"))

    # Databases

    def make_template(self):
        """A migrated database, which others are copies of. What an earlier run left goes."""
        for (name,) in self.rows("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'bench_run_%'"):
            self.drop(name)
        self.drop(TEMPLATE)
        self.sql("postgres", f"CREATE DATABASE {TEMPLATE}")
        self.migrate(TEMPLATE)

    def migrate(self, database):
        said = subprocess.run([self.programs / "payment-migrate"], env=dict(os.environ, DATABASE_URL=self.url(database)),
                              capture_output=True, text=True, check=False)
        if said.returncode:
            raise SystemExit(f"the migrations failed: {said.stderr}")

    def fresh(self, name):
        """A new, empty, migrated database."""
        name = "bench_run_" + name
        self.drop(name)
        self.sql("postgres", f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name

    def warm(self, *names):
        """Has the system read the files of databases, as it has on a server that has run for a while."""
        for name in names:
            for file in (self.data / "base" / self.sql("postgres", f"SELECT oid FROM pg_database WHERE datname = '{name}'")).iterdir():
                with file.open("rb") as pages:
                    while pages.read(1 << 20):
                        pass

    def drop(self, name):
        self.sql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, database):
        return f"postgres://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, database, *texts):
        """What statements give, as psql prints it. Each is a transaction of its own."""
        commands = [part for text in texts for part in ("-c", text)]
        return self.command("psql", *self.address(database), "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\t", *commands).strip()

    def rows(self, database, text):
        return [line.split("\t") for line in self.sql(database, text).splitlines()]

    def address(self, database):
        return "-h", "127.0.0.1", "-p", self.port, "-U", SUPERUSER, "-d", database

    # Redis

    def redis_url(self):
        return f"redis://127.0.0.1:{self.redis_port}"

    def redis_says(self, command):
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=10) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(65_536).decode()
        except OSError:
            return None

    def calm(self):
        """Before a round: what an earlier one left to be written is written, and Redis has forgotten."""
        self.sql("postgres", "CHECKPOINT")
        self.redis_says("FLUSHALL")

    # Processes

    def keep(self, process):
        self.running.append(process)
        return process

    def end(self, *processes):
        for process in processes:
            process.stop()
            self.running.remove(process)

    def stop(self):
        """Ends all, the last started first: the servers outlive those who use them."""
        for process in reversed(self.running):
            process.stop()
        self.running.clear()

    def command(self, program, *arguments):
        """One of Postgres' programs."""
        done = subprocess.run([str(part) for part in (self.postgres_programs / program, *arguments)], capture_output=True,
                              text=True, check=False, env=self.client_environment(), **self.as_user())
        if done.returncode:
            raise SystemExit(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def client_environment(self):
        return dict(os.environ, LC_ALL="C", PGPASSWORD=self.password)

    def as_user(self):
        # Not every place that we may be in can be entered by the other user.
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": [], "cwd": "/"} if self.user else {}


def postgres_programs():
    """The newest there are. Debian keeps the server's off the PATH."""
    places = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    for place in [*reversed(places), *map(pathlib.Path, os.environ["PATH"].split(":"))]:
        if (place / "postgres").exists():
            return (place / "postgres").resolve().parent
    raise SystemExit("Postgres is not installed: make setup")


def postgres_user():
    """Postgres refuses to run as root: whom it runs as instead."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def data_directory(directory, user):
    """Where that user cannot reach the directory, the data lies under /var/tmp."""
    place = directory / "postgres"
    if user and not all(parent.stat().st_mode & 0o001 for parent in place.parents if parent.exists()):
        place = pathlib.Path("/var/tmp/payment-bench-" + hashlib.sha256(str(directory).encode()).hexdigest()[:16])
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user:
        os.chown(place, user.pw_uid, user.pw_gid)
    return place


def kept_secret(path):
    """Made once, and only its owner can read it."""
    if not path.exists():
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
    return path.read_text()
