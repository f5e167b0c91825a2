"""The official `openai` package for Python, unchanged, against the gateway. Run by run.py."""

import asyncio
import os
import urllib.request

import openai

BASE, KEY, POOR, SWITCH = (os.environ[name] for name in ("BASE", "KEY", "POOR_KEY", "SWITCH"))
MODEL = "gpt-4o-mini"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def then(name: str) -> None:
    """How the provider answers the next request."""
    with urllib.request.urlopen(f"{SWITCH}/{name}") as answer:
        assert answer.status == 200


def asks(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def client(key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=0)


def raises(kind: type[Exception], call) -> Exception:
    try:
        call()
    except kind as error:
        assert type(error) is kind, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def test_a_whole_answer() -> None:
    then("words")
    answer = client().chat.completions.create(model=MODEL, messages=asks("Count."))
    assert answer.choices[0].message.content == "one two three four"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 4 and answer.usage.total_tokens > 4


def test_a_stream() -> None:
    then("words")
    stream = client().chat.completions.create(
        model=MODEL, messages=asks("Count."), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "one two three four", text
    assert chunks[-1].usage.completion_tokens == 4
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_an_asynchronous_stream() -> None:
    async def run() -> str:
        then("words")
        async with openai.AsyncOpenAI(base_url=BASE, api_key=KEY, max_retries=0) as aclient:
            stream = await aclient.chat.completions.create(model=MODEL, messages=asks("Count."), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(run()) == "one two three four"


def test_tools_whole_and_streamed() -> None:
    then("tools")
    message = client().chat.completions.create(model=MODEL, messages=asks("Weather?"), tools=TOOLS).choices[0].message
    call = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Porto"}'), call
    history = [*asks("Weather?"), message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    then("words")
    answer = client().chat.completions.create(model=MODEL, messages=history, tools=TOOLS)
    assert answer.choices[0].message.content == "one two three four"
    then("tools")
    name = arguments = ""
    for chunk in client().chat.completions.create(model=MODEL, messages=asks("Weather?"), tools=TOOLS, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    assert (name, arguments) == ("weather", '{"city":"Porto"}')


def test_memory_by_header() -> None:
    headers = {"X-RAE-Memory": "on", "X-Session-ID": "python", "X-User-ID": "ada"}
    create = client().chat.completions.with_raw_response.create
    for text in ("My cat is called Minka.", "What is my cat called?"):
        then("words")
        answer = create(model=MODEL, messages=asks(text), extra_headers=headers)
    assert int(answer.headers["x-rae-memories"]) >= 1
    assert float(answer.headers["x-rae-cost-usd"]) > 0
    assert answer.parse().choices[0].message.content == "one two three four"


def test_errors_are_those_of_the_package() -> None:
    def ask(key: str = KEY, model: str = MODEL, **more):
        return lambda: client(key).chat.completions.create(model=model, messages=asks("x"), **more)

    error = raises(openai.AuthenticationError, ask(key="rae_nonsense"))
    assert (error.status_code, error.code, error.type) == (401, "unknown_key", "unauthenticated")
    error = raises(openai.APIStatusError, ask(key=POOR))
    assert (error.status_code, error.code) == (402, "daily_usd_budget_exceeded")
    assert "daily_limit" in error.message and error.body["details"]["scope"] == "tenant"
    error = raises(openai.APIStatusError, ask(key=POOR, stream=True))
    assert error.status_code == 402
    then("rate-limited")
    error = raises(openai.RateLimitError, ask())
    assert (error.status_code, error.response.headers["retry-after"]) == (429, "77")
    then("context-length")
    error = raises(openai.BadRequestError, ask())
    assert (error.status_code, error.code) == (400, "context_length")
    assert raises(openai.BadRequestError, ask(n=2)).code == "unsupported_option"
    then("bad-key")
    assert raises(openai.InternalServerError, ask()).code == "provider_authentication"
    then("error-inside")
    error = raises(openai.APIError, lambda: list(ask(stream=True)()))
    assert error.code == "provider_unavailable", error.code


def test_models() -> None:
    assert f"openai/{MODEL}" in [model.id for model in client().models.list()]


if __name__ == "__main__":
    tests = [test for name, test in sorted(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
    print(f"openai for Python {openai.__version__}: {len(tests)} passed, 0 failed")
