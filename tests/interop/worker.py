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
    if isinstance(value, list):
        return [wire(item) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


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
