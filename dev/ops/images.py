"""What no linter sees: whether the Dockerfiles, docker-compose.yml and the programs fit together.

    images.py COMPOSE.json      docker-compose.yml, resolved. PROGRAMS=target/debug: where the programs are.
"""

import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS") or ROOT / "target/debug").resolve()
DOCKERFILES = ["Dockerfile.api", "Dockerfile.worker", "dev/simulator/Dockerfile"]
# It has no --help.
MIGRATE, MIGRATE_READS = "payment-migrate", {"DATABASE_URL"}

problems = []


def expect(true, problem):
    if not true:
        problems.append(problem)


class Dockerfile:
    def __init__(self, path):
        text = (ROOT / path).read_text()
        # Without comments and empty lines, one instruction a line.
        code = re.sub(r"^[ \t]*(#.*)?\n", "", text, flags=re.M)
        self.code = re.sub(r"\\\n\s*", "", code)
        self.entrypoint = json.loads(re.search(r"^ENTRYPOINT (.*)$", self.code, re.M)[1])
        self.health = json.loads(re.search(r"^HEALTHCHECK .*?CMD (.*)$", self.code, re.M)[1])
        self.environment = dict(re.findall(r"^ENV (\w+)=(.*)$", self.code, re.M))
        self.programs = set(re.findall(r"/release/([\w-]+)", self.code))

    def until(self, line):
        """The instructions up to the first that begins so."""
        return re.split(rf"^{line}", self.code, maxsplit=1, flags=re.M)[0]


def run(command, **environment):
    """A program of ours as the image would run it; what takes longer than it takes to read its settings is ended."""
    command = [PROGRAMS / pathlib.Path(command[0]).name, *command[1:]]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3)
    except subprocess.TimeoutExpired:
        return 0, ""
    return done.returncode, done.stdout + done.stderr


def settings(command):
    """The environment variables that a command reads; None if there is no such command."""
    if pathlib.Path(command[0]).name == MIGRATE:
        return MIGRATE_READS
    code, text = run([*command, "--help"])
    return None if code else set(re.findall(r"\[env: (\w+)", text))


def check_dockerfiles(files):
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for member in cargo["members"]:
        expect("!" + member in ignore, f".dockerignore: leaves out {member}, a member of the workspace")
    api, worker = (files[path] for path in DOCKERFILES[:2])
    final = "FROM gcr"
    expect(api.until(final) == worker.until(final), "Dockerfile.api and Dockerfile.worker do not share one build")
    for path, file in files.items():
        expect(file.until("FROM source AS build") == api.until("FROM source AS build"),
               f"{path}: its first stages are not those of Dockerfile.api")
        expect(f"FROM rust:{cargo['package']['rust-version']}-" in file.code,
               f"{path}: not the rust-version of Cargo.toml")
        expect("USER 65532:65532" in file.code, f"{path}: does not run as 65532")
        for command in (file.entrypoint, file.health):
            program = pathlib.Path(command[0]).name
            if command[0].startswith("/busybox/"):
                continue
            expect(program in file.programs, f"{path}: {program} is not in the image")
            expect(settings(command) is not None, f"{path}: there is no command `{' '.join(command)}`")


def check_service(name, service, file):
    """One of our programs: what it is told must be what it reads, and enough."""
    command = [*(service.get("entrypoint") or file.entrypoint), *(service.get("command") or [])]
    program = pathlib.Path(command[0]).name
    expect(program in file.programs, f"{name}: {program} is not in the image")
    told = {key: str(value) for key, value in {**file.environment, **service.get("environment", {})}.items()}
    reads = settings(command)
    if reads is None:
        problems.append(f"{name}: there is no command `{' '.join(command)}`")
        return
    for variable in sorted(set(told) - reads):
        problems.append(f"{name}: {program} does not read {variable}")
    if program in ("payment-api", "payment-worker", MIGRATE):
        code, text = run(command, **told)
        # What clap exits with.
        expect(code != 2, f"{name}: {program} refuses its settings:\n{text}")
    for key in ("read_only", "cap_drop", "security_opt"):
        expect(service.get(key), f"{name}: is not confined ({key})")


def check_references(model):
    services = model["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            expect(other in services, f"{name}: depends on {other}, which is not there")
            if how["condition"] == "service_healthy" and "image" in services.get(other, {}):
                expect("healthcheck" in services[other], f"{name}: waits for the health of {other}, which has no check")
        for volume in service.get("volumes", []):
            where = volume["source"]
            there = where in model.get("volumes", {}) if volume["type"] == "volume" else pathlib.Path(where).exists()
            expect(there, f"{name}: {where} is not there")
        for config in service.get("configs", []):
            expect(config["source"] in model.get("configs", {}), f"{name}: no config {config['source']}")
        for port in service.get("ports", []):
            expect(port.get("host_ip") == "127.0.0.1", f"{name}: port {port['target']} is open to everybody")
        expect("build" in service or re.search(r":v?\d+\.\d+", service["image"]), f"{name}: its image is not pinned")


def check_swish(simulator, worker):
    """The workers reach the simulated Swish by the name that docker-compose.yml gives it, and its callbacks the API."""
    url, callback = (urllib.parse.urlsplit(worker[name]) for name in ("SWISH_BASE_URL", "SWISH_CALLBACK_URL"))
    with tempfile.TemporaryDirectory() as directory:
        listen = {name: "127.0.0.1:0" for name in simulator if name.endswith("LISTEN")}
        files = {"SIMULATOR_SWISH_CERTIFICATES": directory, "SIMULATOR_SWISH_PAYEE_ALIAS": worker["SWISH_PAYEE_ALIAS"]}
        process = subprocess.Popen([PROGRAMS / "payment-simulator"], env=listen | files, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            port = next(int(found[1]) for line in process.stdout
                        if (found := re.search(r"Swish simulator on https://127.0.0.1:(\d+)", line)))
            context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
            context.load_cert_chain(f"{directory}/merchant.pem", f"{directory}/merchant.key")
            body = json.dumps({"payeeAlias": worker["SWISH_PAYEE_ALIAS"], "amount": "100.00", "currency": "SEK",
                               "callbackUrl": callback.geturl()})
            with (socket.create_connection(("127.0.0.1", port)) as plain,
                  context.wrap_socket(plain, server_hostname=url.hostname) as connection):
                connection.sendall(f"PUT {url.path}v2/paymentrequests/{'A' * 32} HTTP/1.1\r\nHost: {url.netloc}\r\n"
                                   f"Connection: close\r\nContent-Type: application/json\r\n"
                                   f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
                answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
            expect(" 201 " in answer.splitlines()[0], f"worker: the simulator refuses a payment: {answer}")
        except ssl.SSLCertVerificationError as error:
            problems.append(f"worker: {url.hostname} is not in the simulator's certificate: {error.verify_message}")
        finally:
            process.terminate()
            process.wait()


def check_workflows():
    """A tag can be moved to another commit by whoever owns the action."""
    for path in sorted((ROOT / ".github/workflows").iterdir()):
        for action, comment in re.findall(r"uses: *(\S+)(.*)", path.read_text()):
            pinned = re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
            expect(action.startswith("./") or pinned, f"{path.name}: {action} is not pinned to a commit and its version")


def main():
    files = {path: Dockerfile(path) for path in DOCKERFILES}
    model = json.loads(pathlib.Path(sys.argv[1]).read_text())
    check_workflows()
    check_dockerfiles(files)
    check_references(model)
    for name, service in model["services"].items():
        if "build" in service:
            check_service(name, service, files[service["build"]["dockerfile"]])
    check_swish(*(model["services"][name]["environment"] for name in ("simulator", "worker")))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
