"""Chat: what is sent, what comes back, and models that do not take every parameter."""

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fake_openai import completion

from zelo import InputError, RemoteAnswerError, RemoteError
from zelo.llm import Chat, Completion

every_way = pytest.mark.parametrize("way", ["waiting", "awaiting"])
MESSAGES = [{"role": "system", "content": "judge"}, {"role": "user", "content": "is it cold?"}]


def ask(way, chat, messages=MESSAGES):
    """Ask a chat model, blocking or awaiting."""
    if way == "waiting":
        return chat.complete(messages)
    return asyncio.run(chat.acomplete(messages))


@every_way
def test_a_completion_is_the_text_and_what_it_took(openai, way):
    """Text, tokens of the messages, tokens of the text and the reason are the server's."""
    openai.chat = lambda messages: f"{messages[-1]['content']} oh no"
    with closing(Chat("any", openai.url)) as chat:
        assert ask(way, chat) == Completion("is it cold? oh no", 4, 5, "stop")


@every_way
def test_what_is_sent(openai, way):
    """The messages go as they are; the likeliest text is asked for, within a bound."""
    with closing(Chat("any", openai.url)) as chat:
        ask(way, chat)
    sent = {"model": "any", "messages": MESSAGES, "temperature": 0.0, "max_tokens": 4096}
    assert openai.bodies == [sent]


@every_way
def test_every_option_is_sent_and_none_is_left_out(openai, way):
    """Given options travel under their names; None leaves the choice to the server."""
    options = {"temperature": 0.5, "max_tokens": 9, "seed": 3}
    with closing(Chat("any", openai.url, **options)) as chat:
        ask(way, chat)
    with closing(Chat("any", openai.url, temperature=None, max_tokens=None)) as chat:
        ask(way, chat)
    assert openai.bodies[0] == {"model": "any", "messages": MESSAGES, **options}
    assert openai.bodies[1] == {"model": "any", "messages": MESSAGES}


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"temperature": math.nan}, {"temperature": math.inf}, {"max_tokens": 0}],
)
def test_options_without_sense_are_refused(options):
    """A wrong option is named."""
    with pytest.raises(InputError, match=next(iter(options))):
        Chat("any", "http://127.0.0.1:9", **options)


@every_way
def test_a_cut_off_text_is_told(openai, way):
    """A text that ended at the bound comes back with the reason `length`."""
    openai.chat = lambda messages: completion("[1] >", "length")
    with closing(Chat("any", openai.url)) as chat:
        found = ask(way, chat)
    assert (found.text, found.finish_reason) == ("[1] >", "length")


@every_way
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_no_content_is_an_empty_text(openai, way, reason):
    """A model that wrote nothing that is shown gives an empty text, with the server's reason."""
    openai.chat = lambda messages: completion(None, reason)
    with closing(Chat("any", openai.url)) as chat:
        found = ask(way, chat)
    assert (found.text, found.finish_reason) == ("", reason)


@every_way
@pytest.mark.parametrize("content", [None, "Well,"])
def test_a_refusal_is_no_text(openai, way, content):
    """A model that declines gives no text and the reason `refusal`, though the server says stop."""
    openai.chat = lambda messages: completion(content, "stop", refusal="I would rather not.")
    with closing(Chat("any", openai.url)) as chat:
        found = ask(way, chat)
    assert (found.text, found.finish_reason) == ("", "refusal")


@every_way
@pytest.mark.parametrize(
    "usage", [None, {}, [], {"prompt_tokens": None}, {"prompt_tokens": -1}, {"prompt_tokens": "9"}]
)
def test_missing_usage_counts_as_none_and_is_logged_once(openai, caplog, way, usage):
    """A server that does not count costs no answer: 0 tokens, and one line in the log."""
    openai.chat = lambda messages: completion("yes") | {"usage": usage}
    with closing(Chat("any", openai.url)) as chat:
        for _ in range(2):
            assert ask(way, chat) == Completion("yes", 0, 0, "stop")
    assert [r.getMessage() for r in caplog.records if r.name == "zelo"] == [
        f"{openai.url}/v1 does not tell prompt_tokens; they count as 0"
    ]


@every_way
@pytest.mark.parametrize("content", [7, ["yes"], {"text": "yes"}])
def test_content_that_is_no_text_is_no_answer(openai, way, content):
    """A content of another type raises, and is not written as text."""
    openai.chat = lambda messages: completion(content)
    with closing(Chat("any", openai.url)) as chat:
        with pytest.raises(RemoteAnswerError, match=r"choices\.0\.message\.content"):
            ask(way, chat)


@every_way
def test_a_reasoning_model_gets_what_it_takes(openai, caplog, way):
    """Parameters that are refused by name are renamed or left out, from then on, and logged."""
    openai.unsupported = frozenset({"temperature", "max_tokens", "seed"})
    with closing(Chat("any", openai.url, seed=3, max_tokens=9)) as chat:
        assert ask(way, chat).text == "yes"
        assert len(openai.asked) == 4
        assert ask(way, chat).text == "yes"
    want = {"model": "any", "messages": MESSAGES, "max_completion_tokens": 9}
    assert openai.bodies[3:] == [want, want]
    lines = [r.getMessage().partition(": ")[2] for r in caplog.records if r.name == "zelo"]
    assert sorted(lines) == [
        "max_tokens is refused, and sent as max_completion_tokens",
        "seed is refused, and left to its default",
        "temperature is refused, and left to its default",
    ]


@every_way
def test_a_server_that_bounds_nothing_is_asked_without_a_bound(openai, way):
    """Where neither name of the bound is taken, none is sent."""
    openai.unsupported = frozenset({"max_tokens", "max_completion_tokens"})
    with closing(Chat("any", openai.url)) as chat:
        assert ask(way, chat).text == "yes"
    assert openai.bodies[-1].keys() == {"model", "messages", "temperature"}


REFUSALS = {
    "OpenAI": {
        "message": "Unsupported value: 'temperature' does not support 0 with this model.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    },
    "a gateway": {
        "message": "BadRequestError: Unsupported value: 'temperature' does not support 0.0",
        "param": None,
        "code": "400",
    },
    "Google": {
        "message": 'Invalid JSON payload received. Unknown name "temperature": Cannot find field.',
        "code": 400,
        "status": "INVALID_ARGUMENT",
    },
}


@every_way
@pytest.mark.parametrize("who", REFUSALS)
def test_refused_parameters_are_understood(openai, way, who):
    """OpenAI says it in two fields, a gateway keeps only the words, Google says it in its own."""
    body = {"error": REFUSALS[who]}
    openai.fail(400, body=[body] if who == "Google" else body)
    with closing(Chat("any", openai.url)) as chat:
        assert ask(way, chat).text == "yes"
    assert openai.bodies[1].keys() == {"model", "messages", "max_tokens"}


@every_way
@pytest.mark.parametrize(
    "error",
    [
        {"param": "temperature", "code": "decimal_above_max_value", "message": "must be <= 2"},
        {"param": "model", "code": "unsupported_value", "message": "no"},
        {"param": "messages", "code": "unsupported_value", "message": "no"},
        {"param": "top_p", "code": "unsupported_parameter", "message": "never sent"},
        {"message": "Unsupported parameter: 'top_p'"},
    ],
)
def test_other_refusals_change_nothing(openai, way, error):
    """A wrong value, or a name that is not optional or was not sent, is raised and not dropped."""
    openai.fail(400, body={"error": error})
    with closing(Chat("any", openai.url, temperature=5)) as chat:
        with pytest.raises(RemoteError, match="answered 400"):
            ask(way, chat)
        ask(way, chat)
    assert [body["temperature"] for body in openai.bodies] == [5, 5]


@every_way
def test_a_failure_that_may_pass_is_no_refusal(openai, monkeypatch, way):
    """What a failing server says of a parameter is not believed: it is asked the same again."""
    monkeypatch.setattr("zelo.scoring.retrying.FIRST_PAUSE_S", 0.0)
    openai.fail(500, body={"error": REFUSALS["OpenAI"]})
    with closing(Chat("any", openai.url)) as chat:
        ask(way, chat)
    assert openai.bodies[0] == openai.bodies[1]


def test_callers_at_once_learn_together(openai):
    """Threads that meet the same refusal at the same time all get their answer."""
    openai.unsupported = frozenset({"temperature", "max_tokens"})
    with closing(Chat("any", openai.url)) as chat, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: chat.complete(MESSAGES).text, range(16)))
    assert found == ["yes"] * 16
    assert openai.bodies[-1].keys() == {"model", "messages", "max_completion_tokens"}


def test_identity_is_what_answers_depend_on(openai):
    """Model, server and options are told, so that other ones are not taken for the same."""
    with closing(Chat("any", openai.url, api_key="sk-1", seed=3)) as chat:
        assert chat.identity == {
            "model": "any",
            "server": f"{openai.url}/v1",
            "temperature": 0.0,
            "max_tokens": 4096,
            "seed": 3,
        }
