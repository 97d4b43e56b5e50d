"""The official `openai` SDK, unchanged, against a running Bowline."""

import json
import re
import time

import openai
import pytest

TICKET = "I was charged twice for the invoice of March and want a refund."
PROMPTS = ["classify", "classify-claude", "classify-gemini"]


@pytest.fixture
def client(bowline):
    return openai.OpenAI(base_url=bowline.gateway + "/v1", api_key=bowline.key, max_retries=0)


def test_chat(client):
    answer = client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "Say hello."}])
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0


@pytest.mark.parametrize("model", ["fast", "claude", "gemini"])
def test_stream_says_what_the_whole_answer_says(client, model):
    messages = [{"role": "user", "content": "Say hello."}]
    whole = client.chat.completions.create(model=model, messages=messages)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_usage_comes_only_to_those_who_ask(client):
    messages = [{"role": "user", "content": "Say hello."}]
    for model in ["fast", "claude", "gemini"]:
        chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
        assert all(chunk.choices and chunk.usage is None for chunk in chunks), model


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompt_by_reference(client, prompt):
    body = {"variables": {"ticket": TICKET}}
    raw = client.chat.completions.with_raw_response.create(model=f"prompt:{prompt}", messages=[], extra_body=body)
    assert json.loads(raw.parse().choices[0].message.content) == {"category": "billing"}
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", raw.headers["x-bowline-version"])
    assert re.fullmatch(r"inf_[0-9a-f]{32}_[0-9a-f]{16}", raw.headers["x-bowline-inference"])
    assert raw.headers["x-bowline-simulated"] == "1"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_prompt_streams(client, prompt):
    stream = client.chat.completions.create(
        model=f"prompt:{prompt}", messages=[], stream=True, extra_body={"variables": {"ticket": TICKET}}
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert json.loads(text) == {"category": "billing"}


def test_prompt_by_version_and_environment(client):
    variables = {"variables": {"ticket": TICKET}}
    first = client.chat.completions.with_raw_response.create(model="prompt:classify", messages=[], extra_body=variables)
    version = first.headers["x-bowline-version"]
    pinned = client.chat.completions.with_raw_response.create(
        model=f"prompt:classify@{version}", messages=[], extra_body=variables
    )
    assert pinned.headers["x-bowline-version"] == version
    named = client.chat.completions.with_raw_response.create(model="prompt:classify@dev", messages=[], extra_body=variables)
    assert named.headers["x-bowline-version"] == version
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="prompt:classify@prod", messages=[], extra_body=variables)
    assert error.value.code == "prompt_not_found"


def test_history_fills_the_template(client):
    answer = client.post(
        "/resolve",
        cast_to=object,
        body={
            "model": "prompt:chat",
            "variables": {"name": "Ada"},
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        },
    )
    messages = [(message["role"], message["content"]) for message in answer["request"]["messages"]]
    assert messages == [("system", "You talk to Ada."), ("user", "Hi"), ("assistant", "Hello")]


def test_models(client):
    ids = [model.id for model in client.models.list()]
    assert "prompt:classify" in ids and "fast" in ids


@pytest.mark.parametrize(
    ("call", "kind", "code", "parameter"),
    [
        ({"model": "prompt:classify"}, openai.BadRequestError, "prompt_variable_missing", "variables.ticket"),
        (
            {"model": "prompt:classify", "extra_body": {"variables": {"ticket": 5}}},
            openai.BadRequestError,
            "prompt_variable_invalid",
            "variables.ticket",
        ),
        (
            {"model": "prompt:classify", "extra_body": {"variables": {"ticket": "a", "tiket": "b"}}},
            openai.BadRequestError,
            "prompt_variable_invalid",
            "variables.tiket",
        ),
        ({"model": "prompt:clasify"}, openai.NotFoundError, "prompt_not_found", "model"),
        ({"model": "fsat"}, openai.NotFoundError, "model_not_found", "model"),
        ({"model": "locked"}, openai.InternalServerError, "credential_missing", None),
        ({"model": "absent"}, openai.InternalServerError, "upstream_unavailable", None),
    ],
)
def test_errors_are_of_the_sdk(client, call, kind, code, parameter):
    with pytest.raises(kind) as error:
        client.chat.completions.create(messages=[{"role": "user", "content": "Hi"}] if "prompt" not in call["model"] else [], **call)
    assert error.value.code == code
    assert error.value.param == parameter
    assert "hint:" in error.value.body["message"]


def test_a_wrong_key_is_refused(bowline):
    stranger = openai.OpenAI(base_url=bowline.gateway + "/v1", api_key="bwl_" + "0" * 64, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="fast", messages=[{"role": "user", "content": "Hi"}])


def inference(bowline, token):
    """The record of an inference as the command line shows it, once it is there."""
    wanted = token.rsplit("_", 1)[0]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        records = json.loads(bowline.run("--output", "json", "inference", "list", "--limit", "50"))
        if found := [record for record in records if record["id"] == wanted]:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no record of {wanted}")


def test_feedback_by_both_ids(bowline, client):
    variables = {"variables": {"ticket": TICKET}}
    raw = client.chat.completions.with_raw_response.create(model="prompt:classify", messages=[], extra_body=variables)
    token, answer = raw.headers["x-bowline-inference"], raw.parse().id
    assert inference(bowline, token)["checks"]["feedback:correct"] == "unknown"
    status, _, _ = bowline.post("/v1/feedback", {"inference": token, "name": "correct", "value": True})
    assert status == 200
    assert inference(bowline, token)["checks"]["feedback:correct"] == "pass"
    status, _, _ = bowline.post("/v1/feedback", {"inference": answer, "name": "correct", "value": False})
    assert status == 200
    assert inference(bowline, token)["checks"]["feedback:correct"] == "fail"


def test_nobody_judges_the_calls_of_another_key(bowline, client):
    raw = client.chat.completions.with_raw_response.create(
        model="prompt:classify", messages=[], extra_body={"variables": {"ticket": TICKET}}
    )
    token, answer = raw.headers["x-bowline-inference"], raw.parse().id
    other = bowline.run("key", "create", "other", "--env", "dev").strip()
    deadline = time.monotonic() + 10
    status = None
    while time.monotonic() < deadline and status in (None, 401):
        status, _, body = bowline.post("/v1/feedback", {"inference": token, "name": "correct", "value": False}, key=other)
    assert status == 403, body
    bowline.post("/v1/feedback", {"inference": answer, "name": "correct", "value": False}, key=other)
    assert inference(bowline, token)["checks"]["feedback:correct"] == "unknown"


def test_an_edit_is_live_and_a_broken_one_is_not(bowline, client):
    path = bowline.folder / "prompts/classify.prompt"
    text = path.read_text()

    def version():
        raw = client.chat.completions.with_raw_response.create(
            model="prompt:classify", messages=[], extra_body={"variables": {"ticket": TICKET}}
        )
        return raw.headers["x-bowline-version"]

    before = version()
    try:
        path.write_text(text.replace("You sort support tickets.", "You sort tickets of support."))
        deadline = time.monotonic() + 10
        while version() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        edited = version()
        assert edited != before
        path.write_text(text.replace("{{ticket}}", "{{tiket}}"))
        time.sleep(1.0)  # An edit is served within a second; this one must not be.
        assert version() == edited
    finally:
        path.write_text(text)
    deadline = time.monotonic() + 10
    while version() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert version() == before
