"""The support desk: sorts tickets with the official `openai` SDK, and says of each answer whether its category was right.

It knows a prompt by its name only. `OPENAI_BASE_URL` and `OPENAI_API_KEY` come from the Secret that the operator wrote, or the key is the token of
the pod's service account, in the file that `TOKEN_FILE` names. Each second it prints one line of JSON with what it has counted so far.
"""

import collections
import itertools
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import uuid

import openai

PROMPT = "prompt:support/classify"
TICKETS = [json.loads(line) for line in pathlib.Path(os.environ.get("TICKETS", "/app/tickets.jsonl")).open()]
# Calls per second, and calls at once.
RATE = float(os.environ.get("RATE", "60"))
THREADS = int(os.environ.get("THREADS", "16"))
# A connection that broke is made once more, when Kubernetes has had time to notice: a pod that has just died is still behind its Service.
RETRY_SECONDS = 2.5

stop = threading.Event()
lock = threading.Lock()
versions = collections.defaultdict(lambda: {"calls": 0, "right": 0})
counts = collections.Counter()
errors = collections.Counter()


def credential():
    """The key of this application. The SDK asks for it before each call, as Kubernetes replaces a token every hour."""
    path = os.environ.get("TOKEN_FILE")
    return pathlib.Path(path).read_text().strip() if path else os.environ["OPENAI_API_KEY"]


def attempt(call):
    """Calls, and once more where the connection broke. What the gateway answers is never asked for again."""
    try:
        return call()
    except openai.APIConnectionError:
        with lock:
            counts["retried"] += 1
        time.sleep(RETRY_SECONDS)
        return call()


def sort(client, ticket):
    """Sorts one ticket and sends the judgement of whoever handled it."""
    answer = attempt(
        lambda: client.chat.completions.with_raw_response.create(
            model=PROMPT,
            messages=[],
            extra_body={"variables": {"ticket": ticket["text"]}},
            extra_headers={"x-bowline-unit": uuid.uuid4().hex},
        )
    )
    category = json.loads(answer.parse().choices[0].message.content).get("category")
    right = category == ticket["category"]
    with lock:
        version = versions[answer.headers["x-bowline-version"]]
        version["calls"] += 1
        version["right"] += right
        version["inference"] = answer.headers["x-bowline-inference"]
    judgement = {"inference": answer.headers["x-bowline-inference"], "name": "correct", "value": right}
    attempt(lambda: client.post("/feedback", body=judgement, cast_to=object))


def work(due):
    client = openai.OpenAI(api_key=credential, max_retries=0, timeout=20)
    chance = random.Random()
    while not stop.is_set():
        with lock:
            wait = next(due) - time.monotonic()
        if wait > 0 and stop.wait(wait):
            return
        with lock:
            counts["sent"] += 1
        try:
            sort(client, chance.choice(TICKETS))
        except openai.APIStatusError as error:
            fail(f"{error.status_code} {error.code}")
        except Exception as error:  # Whatever it was, it is counted, and the next ticket is sorted.
            fail(f"{type(error).__name__}: {error}")
        else:
            with lock:
                counts["ok"] += 1


def fail(reason):
    with lock:
        errors[reason] += 1
    print(f"failed: {reason}", file=sys.stderr, flush=True)


def report():
    with lock:
        line = {**counts, "failed": sum(errors.values()), "errors": dict(errors), "versions": dict(versions)}
        print(json.dumps(line), flush=True)


def main():
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    start = time.monotonic()
    due = (start + number / RATE for number in itertools.count())
    threads = [threading.Thread(target=work, args=(due,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while not stop.wait(1):
        report()
    for thread in threads:
        thread.join()
    report()


if __name__ == "__main__":
    main()
