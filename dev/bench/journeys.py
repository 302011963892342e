"""What became of payments, as Postgres knows it: when each was committed, when a worker began, when it had succeeded.

The commits of a payment's first step and of its last are those of the rows (track_commit_timestamp). A worker has begun
when the transaction did that took the lease and opened the attempt.
"""

import time

from generators import percentiles
from processes import wait_until

JOURNEYS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(accepted.xmin)), extract(epoch FROM min(attempts.created_at)),
       extract(epoch FROM min(pg_xact_commit_timestamp(settled.xmin)))
FROM payment_timeline AS accepted
JOIN jobs ON jobs.subject_id = accepted.payment_id AND jobs.kind = 'create_payment'
JOIN attempts ON attempts.job_id = jobs.id
JOIN payment_timeline AS settled ON settled.payment_id = accepted.payment_id AND settled.status = 'succeeded'
WHERE accepted.status = 'pending' AND accepted.actor = 'api' AND accepted.created_at >= to_timestamp({since})
GROUP BY accepted.id, accepted.xmin
"""
WORK = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"


def journeys(servers, database, since):
    """`(accepted, begun, settled)` of each that was accepted since then, in seconds since 1970."""
    return [tuple(map(float, row)) for row in servers.rows(database, JOURNEYS.format(since=since))]


def times(servers, database, since, number):
    """How soon so many were begun and settled, in ms. All must have come to that."""
    made = journeys(servers, database, since)
    if len(made) != number:
        raise SystemExit(f"{len(made)} of {number} payments have succeeded in {database}")
    return {"pickup": percentiles([(begun - accepted) * 1_000 for accepted, begun, _ in made]),
            "settle": percentiles([(settled - accepted) * 1_000 for accepted, _, settled in made])}


def rest(servers, database, seconds=120):
    """Waits until no job is left, and no event on its way."""
    def is_at_rest():
        if int(servers.sql(database, WORK)):
            return False
        time.sleep(0.3)
        return not int(servers.sql(database, WORK))
    wait_until(f"{database} is at rest", is_at_rest, seconds, pause=0.3)
    dead = servers.sql(database, "SELECT count(*) FROM jobs WHERE state = 'dead'")
    if int(dead):
        raise SystemExit(f"{dead} jobs of {database} are dead")


def settled_between(servers, database, begin, end):
    """How many payments were settled in a stretch of time, in a second each. (Steps are no count: a webhook that comes later writes one too.)"""
    number = servers.sql(database, f"""SELECT count(*) FROM payments WHERE status = 'succeeded'
        AND completed_at BETWEEN to_timestamp({begin}) AND to_timestamp({end})""")
    return int(number) / (end - begin)
