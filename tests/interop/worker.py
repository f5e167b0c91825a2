"""The Python side of tests/interop: worker.py FILE; calls verbs, one JSON line in, one out."""

import datetime
import json
import sys

import rae


def text(value):
    """A datetime as the engine writes it: UTC, no more decimals than needed."""
    if not isinstance(value, datetime.datetime):
        raise TypeError(type(value))
    seconds, _, micros = value.strftime("%Y-%m-%dT%H:%M:%S.%f").partition(".")
    micros = micros.rstrip("0")
    return f"{seconds}.{micros}Z" if micros else f"{seconds}Z"


def wire(value):
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, list):
        return [wire(item) for item in value]
    if isinstance(value, dict):
        # A claim is absent in JSON where a memory states no relation.
        return {key: wire(item) for key, item in value.items() if (key, item) != ("claim", None)}
    return value


def main():
    with rae.open(sys.argv[1]) as mem:
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            call = json.loads(line)
            verb = {"import": "import_"}.get(call["verb"], call["verb"])
            try:
                answer = {"returns": wire(getattr(mem, verb)(**call["args"]))}
            except rae.RaeError as error:
                answer = {"error": {"kind": error.kind, "code": error.code}}
            print(json.dumps(answer, default=text), flush=True)


main()
