"""The load: several clients at once, through an API that may be away.

What operation `n` of a seed is, and with which amounts, comes from a generator of its own; on what it is done (which
payment is captured, which payer pays) depends on what is there by then. What there is to do is in `shop.py`.

A client that gets no answer behaves as a client should: under an `Idempotency-Key` it asks again, without one it does not.
"""

import collections
import http.client
import json
import random
import threading
import time

from stack import NotSent

USERS = ("token", "other_token")


class Answer:
    """What came of a request: a status and the bytes; `status` is None where the answer was lost."""

    def __init__(self, status, content=b""):
        self.status, self.content = status, content

    @property
    def accepted(self):
        return self.status is not None and 200 <= self.status < 300

    @property
    def lost(self):
        # 503: the service could not tell whether its commit was taken.
        return self.status is None or self.status in (502, 503, 504)

    def json(self):
        try:
            return json.loads(self.content)
        except ValueError:
            return {}


class Write:
    """A write, and what its client knows of it."""

    def __init__(self, number, kind, user, method, path, body, key, waits):
        self.number, self.kind, self.user, self.method, self.path = number, kind, user, method, path
        self.body, self.key, self.waits = body, key, waits
        self.tag = ((body or {}).get("metadata") or {}).get("operation")
        # The first answer that the client got; whether an earlier try went without one; answers that differed.
        self.answer, self.lost_before, self.others = None, False, []

    def __str__(self):
        return f"operation {self.number} ({self.method} {self.path}{', key ' + self.key if self.key else ''})"


class Load:
    # What is done how often: the names of methods.
    kinds = {}

    def __init__(self, stack, seed, operations, clients=8, per_second=14):
        self.stack, self.seed, self.operations = stack, seed, operations
        self.clients, self.pause = clients, 1 / per_second
        self.begun, self.ended, self.writes, self.faults_of_service = 0, 0, [], []
        self.answers = collections.Counter()
        self.made = {"stripe": [], "swish": [], "subscriptions": []}
        self.lock, self.going = threading.Lock(), threading.Event()
        self.going.set()
        self.at_work = 0
        self.next_at = time.monotonic()

    def run(self):
        threads = [threading.Thread(target=self.client, daemon=True) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def hold(self):
        """Lets nothing new begin, and waits until nothing is under way."""
        self.going.clear()
        end = time.monotonic() + 60
        while self.at_work and time.monotonic() < end:
            time.sleep(0.1)

    def go_on(self):
        self.going.set()

    def client(self):
        while True:
            self.going.wait()
            with self.lock:
                if self.begun == self.operations:
                    return
                number, self.begun = self.begun, self.begun + 1
                self.at_work += 1
                # Evenly, so that the faults have something to fall on.
                now = time.monotonic()
                self.next_at = max(self.next_at + self.pause, now - 1)
                wait = self.next_at - now
            time.sleep(max(0, wait))
            try:
                self.operate(number)
            finally:
                with self.lock:
                    self.at_work -= 1
                    self.ended += 1

    def operate(self, number):
        random_ = random.Random(f"{self.seed}/operation/{number}")
        kind = random_.choices(list(self.kinds), list(self.kinds.values()))[0]
        try:
            what = getattr(self, kind)(number, random_)
        except (OSError, http.client.HTTPException):
            # Only of reads and of what payers and banks do: writes look after themselves.
            what = "no answer"
        with self.lock:
            self.answers[(kind, what or "nothing to do")] += 1

    # Asking

    def ask(self, write):
        """One try. What was not sent, for certain, is sent again."""
        headers = {"Authorization": "Bearer " + self.stack.known[write.user]}
        if write.key:
            headers["Idempotency-Key"] = write.key
        if write.waits:
            headers["Prefer"] = "wait=3"
        for _ in range(200):
            try:
                status, content = self.stack.http(write.method, self.stack.known["api_url"], write.path, write.body,
                                                  headers, timeout=12)
            except NotSent:
                time.sleep(0.1)
                continue
            except (OSError, http.client.HTTPException):
                return Answer(None)
            if status == 500:
                self.faults_of_service.append(f"{write}: {status} {content.decode(errors='replace')}")
            return Answer(status, content)
        return Answer(None)

    def write(self, number, random_, kind, method, path, body=None, user=None, tagged=True):
        """A write as a client makes it: half of them under a key, of those some twice, some twice at once."""
        body = {} if body is None and method != "DELETE" else body
        if tagged:
            body["metadata"] = {"operation": f"{self.seed}-{number}"}
        key = f"key-{self.seed}-{number}" if random_.random() < 0.5 else None
        write = Write(number, kind, user or random_.choice(USERS), method, path, body, key, random_.random() < 0.3)
        again, at_once = random_.random() < 0.3, random_.random() < 0.15
        with self.lock:
            self.writes.append(write)
        if key and at_once:
            self.twice_at_once(write)
        else:
            self.until_answered(write)
        if key and again and write.answer and write.answer.accepted:
            second = self.ask(write)
            if not second.lost:
                write.others.append(second)
        if not write.answer:
            return write, "lost"
        code = write.answer.json().get("code") if not write.answer.accepted else None
        return write, f"{write.answer.status} {code}" if code else str(write.answer.status)

    def until_answered(self, write):
        for _ in range(12 if write.key else 1):
            answer = self.ask(write)
            if not answer.lost and not (answer.status == 409 and self.in_use(answer)):
                write.answer = answer
                return
            write.lost_before = write.lost_before or answer.lost
            time.sleep(0.3)

    def twice_at_once(self, write):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.ask(write)), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = [answer for answer in answers if not answer.lost and not self.in_use(answer)]
        # One that waits is told more than one that only repeats: either may be the one that is kept.
        write.lost_before = len(good) < 2 or write.waits
        if good:
            write.answer = good[0]
            write.others += good[1:]
        else:
            self.until_answered(write)

    @staticmethod
    def in_use(answer):
        return answer.json().get("code") == "idempotency_key_in_use"

    def note(self, where, write):
        """Something was made: later operations may be done on it."""
        if write.answer and write.answer.accepted:
            with self.lock:
                self.made[where].append((write.answer.json()["id"], write.user))

    def pick(self, random_, *where):
        """Mostly what is new: old payments are refunded already."""
        with self.lock:
            those = sum((self.made[name][-25:] for name in where), [])
        return random_.choice(those) if those else (None, None)

    def find(self, random_, where, status):
        """One with this status: its id and whose it is. What has moved on by the time it is used is refused."""
        for user in random_.sample(USERS, len(USERS)):
            rows = (self.stack.get(f"/api/{where}?limit=30&status={status}", user) or {"data": []})["data"]
            if rows:
                return random_.choice(rows)["id"], user
        return None, None
