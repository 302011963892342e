"""`make test-mutations`: breaks each promise on purpose, and sees whether the fault suite notices.

    make test-mutations                      all of them
    make test-mutations ONLY=fresh_keys      one; SEEDS=n FIRST_SEED=n OPS=n as with make test-faults

A mutation is a text that is put in the place of another one, in a file of the service. All are built first, into
`.dev/mutations`, and every file is as it was before the first storm begins. Fails when a mutation is not noticed, and when
the text that it replaces is not there any more (`mutations.py --check` asks for nothing else).
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("payment-api", "payment-worker", "payment-stack", "payment-simulator", "payment-migrate")

# name: (what is broken, [(file, before, after)])
MUTATIONS = {
    "fresh_keys": (
        "each try has a key of its own", [(
            "worker/src/creation.rs",
            "let key = attempt.id.to_string();",
            "let key = Uuid::now_v7().to_string();",
        )],
    ),
    "accepted_before_the_commit": (
        "a request is acknowledged a moment before its commit", [(
            "api/src/idempotency.rs",
            "        txn.commit().await?;\n        metrics.committed();\n        Ok(Kept",
            "        tokio::spawn(async move {\n"
            "            tokio::time::sleep(std::time::Duration::from_millis(300)).await;\n"
            "            let _ = txn.commit().await;\n        });\n        metrics.committed();\n        Ok(Kept",
        ), (
            "api/src/state.rs",
            "            let jobs = new_payments::accept(&db, &new, |lane| ringer.has_room(lane)).await?;\n"
            "            metrics.stored_together(\"payments\", new.len());\n"
            "            Ok(jobs.into_iter().map(|job| job.map(|job| ringer.ring(job)).is_some()).collect())",
            "            let accepted = vec![true; new.len()];\n"
            "            tokio::spawn(async move {\n"
            "                tokio::time::sleep(std::time::Duration::from_millis(300)).await;\n"
            "                let _ = (new_payments::accept(&db, &new, |lane| ringer.has_room(lane)).await, metrics);\n"
            "            });\n            Ok(accepted)",
        )],
    ),
    "silence_is_failure": (
        "what is unknown is called refused", [(
            "worker/src/creation.rs",
            "(Some(Evidence::OutcomeUnknown), AttemptOutcome::Unknown, \"the outcome is unknown\")",
            "(Some(Evidence::Refused(shared::domain::evidence::Failure { code: \"timeout\".to_owned(), "
            "decline_code: None, message: String::new() })), AttemptOutcome::Unknown, \"it failed\")",
        )],
    ),
    "no_relay": (
        "nobody rings what Redis has lost", [(
            "worker/src/loops/relay.rs",
            "    let rung = jobs::ring_due(db, lane, limit).await.map_err(|error| error.to_string())?;",
            "    let rung: Vec<jobs::Rung> = Vec::new();\n    let _ = (db, limit);",
        )],
    ),
    "no_idempotency": (
        "keys of clients are not looked at", [(
            "api/src/idempotency.rs",
            "    if good && keys.next().is_none() {\n        Ok(Some(text.to_owned()))",
            "    if good && keys.next().is_none() {\n        Ok(None)",
        )],
    ),
    "no_fencing": (
        "whoever lost the lease still writes, over whatever is there", [
            ("shared/src/store/jobs.rs",
             "WHERE id = $1 AND attempts = $2 AND leased_by = $7 AND state = 'running' RETURNING id",
             "WHERE id = $1 AND ($2::int, $7::text) IS NOT NULL RETURNING id"),
            ("shared/src/store/mod.rs",
             "\n        .filter(version_column.eq(version)))",
             ")"),
        ],
    ),
    "no_sweep": (
        "what no webhook told is not asked for at Stripe", [(
            "worker/src/jobs/sweep_stripe_events.rs",
            "        let missing = events.iter().filter(",
            "        let missing = events.iter().take(0).filter(",
        )],
    ),
    "no_poll": (
        "what no callback told is not asked for at Swish", [(
            "worker/src/jobs/poll_swish.rs",
            "Some(target) if !target.is_settled() => Preparation::Ready(target),",
            "Some(target) if !target.is_settled() => { drop(target); Preparation::NotYet(MOST) }",
        )],
    ),
    "secrets_in_logs": (
        "a client secret is logged", [(
            "worker/src/runner.rs",
            "    txn.commit().await?;\n    for changed in recorded.changed {",
            "    txn.commit().await?;\n    for changed in recorded.changed {\n"
            "        if let Ok(Some(payment)) = shared::store::payments::find_for_job(&context.db, "
            "shared::domain::ids::PaymentId(changed)).await {\n"
            "            let secret = payment.client_secret.as_ref().map(secrecy::ExposeSecret::expose_secret);\n"
            "            tracing::info!(secret, \"changed\");\n        }",
        )],
    ),
    "half_a_record": (
        "the job ends in a transaction before that of its effect", [(
            "worker/src/runner.rs",
            "    let txn = context.db.begin().await?;\n    let recorded = J::record(",
            "    let _ = jobs::end(&context.db, lease, &Ending::Done, None).await?;\n"
            "    tokio::time::sleep(Duration::from_millis(50)).await;\n"
            "    let txn = context.db.begin().await?;\n    let recorded = J::record(",
        ), (
            "worker/src/runner.rs",
            "    let Ended::As(state) = jobs::end(&txn, lease, &recorded.ending, recorded.closes.as_ref()).await? else {\n"
            "        return Err(JobError::LeaseLost);\n    };",
            "    let state = \"done\";",
        )],
    ),
}


def mutated(name, changes):
    """The texts of the files with a mutation."""
    texts = {path: (ROOT / path).read_text() for path, _, _ in changes}
    for path, old, new in changes:
        if texts[path].count(old) != 1:
            raise SystemExit(f"{name}: {path} has {texts[path].count(old)} times: {old}")
        texts[path] = texts[path].replace(old, new)
    return texts


def build(name, changes):
    """Builds the programs of a mutation, and puts every file back."""
    place = ROOT / ".dev/mutations" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    before = {path: (ROOT / path).read_text() for path, _, _ in changes}
    try:
        for path, text in mutated(name, changes).items():
            (ROOT / path).write_text(text)
        subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bins"], cwd=ROOT, check=True)
        for program in PROGRAMS:
            shutil.copy2(ROOT / "target/debug" / program, place / program)
    finally:
        for path, text in before.items():
            (ROOT / path).write_text(text)
    return place


def storm(name, programs):
    """The first seed that notices, and what it says; `None`: none does."""
    seeds, first = int(os.environ.get("SEEDS") or 5), int(os.environ.get("FIRST_SEED") or 1)
    for seed in range(first, first + seeds):
        said = subprocess.run(
            [sys.executable, ROOT / "dev/faults/run.py"], capture_output=True, text=True, check=False,
            env=dict(os.environ, PROGRAMS=str(programs), SEEDS="1", FIRST_SEED=str(seed), OPS=os.environ.get("OPS") or "300"),
        )
        (programs / f"seed-{seed}.log").write_text(said.stdout + said.stderr)
        found = re.findall(r"VIOLATION seed \d+: (.*)", said.stdout)
        if found:
            return seed, found
        if not re.search(r"^violations: 0", said.stdout, re.M):
            raise SystemExit(f"{name}: the suite did not come to its end; see {programs / f'seed-{seed}.log'}")
    return None


def main():
    if sys.argv[1:] == ["--check"]:
        for name, (_, changes) in MUTATIONS.items():
            mutated(name, changes)
        return 0
    wanted = (os.environ.get("ONLY") or " ".join(MUTATIONS)).split()
    built = {name: build(name, MUTATIONS[name][1]) for name in wanted}
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bins"], cwd=ROOT, check=True)
    missed = []
    for name, programs in built.items():
        noticed = storm(name, programs)
        if noticed:
            seed, found = noticed
            print(f"{name} ({MUTATIONS[name][0]}): noticed by seed {seed}, {len(found)} violations: {found[0][:160]}", flush=True)
            shutil.rmtree(programs)
        else:
            print(f"{name} ({MUTATIONS[name][0]}): NOT NOTICED", flush=True)
            missed.append(name)
    print(f"not noticed: {len(missed)} of {len(wanted)} {' '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
