"""Makes rae-core/tests/golden/cross_encoder.json: scores of the tiny cross-encoder of rae-core/tests/bert_support by a forward pass
of its own, in numpy with 64-bit numbers. Usage: python scripts/golden_cross_encoder.py > rae-core/tests/golden/cross_encoder.json
"""

import json
import math

import numpy as np

HIDDEN, INNER, HEADS, LAYERS, POSITIONS = 96, 128, 2, 2, 12
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "##s", "."]
CASES = [
    ("red", "blue"),
    ("blue", "red"),
    ("red", "red"),
    ("red blue", "blue ."),
    ("reds", "blues . red"),
    ("green", "red"),
    ("red", ""),
    ("blue red blue", "red red red red red red red red red red"),
    ("red red red red red red red red red red", "blue blue"),
    ("red red red red red red red", "blue blue blue blue blue blue blue"),
]


def shapes():
    out = {}
    for name, rows in [("word", len(TOKENS)), ("position", POSITIONS), ("token_type", 2)]:
        out[f"bert.embeddings.{name}_embeddings.weight"] = (rows, HIDDEN)
    norms = ["bert.embeddings"]
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}"
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]:
            out[f"{layer}.{part}.weight"] = (HIDDEN, HIDDEN)
            out[f"{layer}.{part}.bias"] = (HIDDEN,)
        out[f"{layer}.intermediate.dense.weight"] = (INNER, HIDDEN)
        out[f"{layer}.intermediate.dense.bias"] = (INNER,)
        out[f"{layer}.output.dense.weight"] = (HIDDEN, INNER)
        out[f"{layer}.output.dense.bias"] = (HIDDEN,)
        norms += [f"{layer}.attention.output", f"{layer}.output"]
    for name in norms:
        out[f"{name}.LayerNorm.weight"] = (HIDDEN,)
        out[f"{name}.LayerNorm.bias"] = (HIDDEN,)
    out["bert.pooler.dense.weight"] = (HIDDEN, HIDDEN)
    out["bert.pooler.dense.bias"] = (HIDDEN,)
    out["classifier.weight"] = (1, HIDDEN)
    out["classifier.bias"] = (1,)
    return out


def weights():
    state = 7
    out = {}
    for name, shape in sorted(shapes().items()):
        numbers = []
        for _ in range(math.prod(shape)):
            state = (state * 25173 + 13849) % 65536
            numbers.append(state / 65536 - 0.5)
        out[name] = np.array(numbers).reshape(shape)
    return out


W = weights()


def linear(x, name):
    return x @ W[f"{name}.weight"].T + W[f"{name}.bias"]


def norm(x, name):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-12) * W[f"{name}.LayerNorm.weight"] + W[f"{name}.LayerNorm.bias"]


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def tokens(text):
    out = []
    for word in text.split():
        if word in TOKENS:
            out.append(TOKENS.index(word))
        elif word.endswith("s") and word[:-1] in TOKENS:
            out += [TOKENS.index(word[:-1]), TOKENS.index("##s")]
        else:
            out.append(TOKENS.index("[UNK]"))
    return out


def score(query, text):
    a, b = tokens(query), tokens(text)
    room = POSITIONS - 3
    if (
        len(a) + len(b) > room
    ):  # "longest first" of the tokenizers library: an odd token is the longer text's, of equals the second's
        short, long = (a, b) if len(a) <= len(b) else (b, a)
        keep = min(len(short), room // 2)
        del short[keep:], long[room - keep :]
    ids = [2, *a, 3, *b, 3]
    types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    embedding = "bert.embeddings.{}_embeddings.weight".format
    x = W[embedding("word")][ids] + W[embedding("position")][: len(ids)] + W[embedding("token_type")][types]
    x = norm(x, "bert.embeddings")
    size = HIDDEN // HEADS
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}"
        q, k, v = (
            linear(x, f"{layer}.attention.self.{part}").reshape(len(ids), HEADS, size).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        mixed = softmax(q @ k.transpose(0, 2, 1) / math.sqrt(size)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
        up = gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(up, f"{layer}.output.dense"), f"{layer}.output")
    return float(linear(np.tanh(linear(x[0], "bert.pooler.dense")), "classifier")[0])


cases = [{"query": q, "text": t, "score": round(score(q, t), 6)} for q, t in CASES]
print("[\n" + ",\n".join("  " + json.dumps(case) for case in cases) + "\n]")
