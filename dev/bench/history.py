"""A database with a history: so many payments of so many users, the last a moment ago, 90 days in all.

Each has succeeded, with the two steps of its timeline and the job that made it; the keys of the last day are there too. What no
request of a user reads is not: attempts, events. Ids are UUIDs v7 that rise with time, as the service's; users come in no order.
Rows are written while no index but the primary keys is there; then the indexes are made as they were.
"""

import subprocess
import time

TABLES = ("payments", "payment_timeline", "jobs")
DAYS, EACH = 90, 50
# What of a database tells that it is one of these, and whole.
MARK = "payments, history 1"

# A row's moment and id, of its number.
WHEN = "to_timestamp((:begin + n * :span / :count) / 1000.0)"


def id_of(kind):
    return (f"(lpad(to_hex(:begin + n * :span / :count), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8{kind:03}'"
            " || lpad(to_hex(n * 2654435761 % 281474976710656), 12, '0'))::uuid")


# Sessions side by side. No look-up of each foreign key: what is made here is whole.
BEGIN = "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '1GB';\n"
SESSIONS = {
    "payments": f"""
INSERT INTO customers (id, user_id, email, name, stripe_customer_id)
SELECT ('00000000000070008000' || lpad(n::text, 12, '0'))::uuid, 'user-' || n, 'user-' || n || '@example.com', 'user-' || n, 'cus_' || n
FROM generate_series(0, :users - 1) n;
INSERT INTO payments (id, user_id, customer_id, provider, provider_payment_id, status, amount, currency, amount_captured, capture_method,
    description, payment_method, return_url, client_secret, metadata, version, created_at, updated_at, completed_at, trace_parent)
SELECT {id_of(1)}, 'user-' || owner, ('00000000000070008000' || lpad(owner::text, 12, '0'))::uuid, 'stripe', 'pi_' || hash, 'succeeded',
    1000 + n % 40000, 'sek', 1000 + n % 40000, 'automatic', 'Order ' || n, 'pm_card_visa', 'https://shop.example/thanks',
    'pi_' || hash || '_secret_Dm43xiq1k0ywrRRjDoi8y1gkM', ('{{"order": "' || n || '"}}')::jsonb, 3, at, at, at,
    '00-' || hash || '-b7ad6b7169203331-01'
FROM (SELECT n, {WHEN} AS at, n * 7919 % :users AS owner, md5(n::text) AS hash FROM generate_series(1, :count::bigint) n OFFSET 0) AS made;
""",
    "payment_timeline": f"""
INSERT INTO payment_timeline (payment_id, status, actor, cause, detail, created_at)
SELECT id, CASE step WHEN 1 THEN 'pending' ELSE 'succeeded' END, CASE step WHEN 1 THEN 'api' ELSE 'job' END,
    '0192f3a1-7c55-7b1e-9d27-5a1f0c6e8b42', CASE step WHEN 1 THEN 'accepted' ELSE 'created at Stripe' END, at
FROM (SELECT {id_of(1)} AS id, {WHEN} AS at FROM generate_series(1, :count::bigint) n OFFSET 0) AS made, generate_series(1, 2) step;
""",
    "jobs": f"""
INSERT INTO jobs (id, lane, kind, subject_id, state, attempts, max_attempts, run_at, created_at, finished_at, trace_parent)
SELECT {id_of(2)}, 'stripe_payments', 'create_payment', {id_of(1)}, 'done', 1, 30, at, at, at,
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
FROM (SELECT n, {WHEN} AS at FROM generate_series(1, :count::bigint) n OFFSET 0) AS made;
INSERT INTO idempotency_keys (user_id, method, path, key, fingerprint, status, location, body, created_at)
SELECT 'user-' || n * 7919 % :users, 'POST', '/api/payments', 'old-order-' || n, sha256(n::text::bytea), 202,
    '/api/payments/' || {id_of(1)}, repeat('{{"amount": 10000, "status": "pending"}} ', 20), {WHEN}
FROM generate_series(:count::bigint * {DAYS - 1} / {DAYS}, :count::bigint) n;
""",
}


def users(count):
    return count // EACH


def is_there(servers, name, count):
    mark = servers.sql("postgres", f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'")
    return mark == f"{MARK}, {count}"


def load(servers, name, count):
    """Makes the database anew. How many seconds that took."""
    began = time.monotonic()
    servers.drop(name)
    servers.sql("postgres", f"CREATE DATABASE {name} TEMPLATE bench_template")
    known = servers.rows(name, f"SELECT tablename, indexname, indexdef FROM pg_indexes WHERE tablename IN {TABLES}")
    known = [row for row in known if not row[1].endswith("_pkey")]
    servers.sql(name, *(f"DROP INDEX {index}" for _, index, _ in known))
    indexes = {table: "".join(f"{text};\n" for other, _, text in known if other == table) for table in TABLES}
    side_by_side(servers, name, count, [BEGIN + text + indexes[table] for table, text in SESSIONS.items()])
    servers.sql(name, "VACUUM (ANALYZE)", "CHECKPOINT")
    servers.sql("postgres", f"COMMENT ON DATABASE {name} IS '{MARK}, {count}'")
    return time.monotonic() - began


def side_by_side(servers, name, count, scripts):
    span = DAYS * 86_400_000
    variables = {"count": count, "users": users(count), "begin": int(time.time() * 1_000) - span, "span": f"{span}::bigint"}
    command = [servers.postgres_programs / "psql", *servers.address(name), "-Xq", "-v", "ON_ERROR_STOP=1"]
    for variable, value in variables.items():
        command += ["-v", f"{variable}={value}"]
    sessions = []
    for script in scripts:
        session = subprocess.Popen([str(part) for part in command], env=servers.client_environment(), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        session.stdin.write(script)
        session.stdin.close()
        sessions.append(session)
    for session in sessions:
        said = session.stderr.read()
        if session.wait():
            raise SystemExit(f"the history was not written: {said}")
