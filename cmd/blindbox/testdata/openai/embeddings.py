"""Asks the API at argv[1] for embeddings with the openai package, as its users do, and prints "ok"."""

import sys

import numpy as np
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="the box has the caller's key", max_retries=0)
assert [m.id for m in client.models.list()] == ["minilm"]
one = client.models.retrieve("minilm")
assert (one.id, one.object, one.owned_by) == ("minilm", "model", "blindbox"), one

texts = ["a cat sits on the mat", "a kitten rests on a rug", "quarterly earnings fell"]
answer = client.embeddings.create(model="minilm", input=texts)  # the client asks for base64
vectors = np.array([d.embedding for d in answer.data], dtype=np.float32)
assert vectors.shape == (3, 384) and [d.index for d in answer.data] == [0, 1, 2]
assert np.allclose((vectors**2).sum(axis=1), 1, atol=1e-3)
near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
assert near > 0.5 > 0.3 > far, (near, far)
assert answer.model == "minilm" and answer.usage.prompt_tokens == answer.usage.total_tokens
# [CLS] and [SEP] are tokens that the model works on, like any other.
assert client.embeddings.create(model="minilm", input="hello world").usage.prompt_tokens == 4

floats = client.embeddings.create(model="minilm", input=texts[1], encoding_format="float", dimensions=384, user="u")
assert (np.array(floats.data[0].embedding, dtype=np.float32) == vectors[1]).all()


def refused(kind, text, **asked):
    try:
        client.embeddings.create(**asked)
    except kind as e:
        assert text in str(e), e
        return e
    raise AssertionError(f"not refused: {asked}")


assert refused(openai.PermissionDeniedError, "only the models minilm", model="tumour", input="x").code == "BBX-403"
refused(openai.PermissionDeniedError, "only the models minilm", model="text-embedding-3-small", input="x")
assert refused(openai.BadRequestError, "ids of tokens", model="minilm", input=[1, 2]).param == "input"
refused(openai.BadRequestError, "ids of tokens", model="minilm", input=[[1, 2], [3]])
assert refused(openai.BadRequestError, "makes 384", model="minilm", input="x", dimensions=128).param == "dimensions"
refused(openai.BadRequestError, "empty", model="minilm", input="")
refused(openai.BadRequestError, "another member", model="minilm", input="x", extra_body={"input_type": "query"})
refused(openai.APIStatusError, "larger", model="minilm", input="x" * (21 << 20))
try:
    client.audio.transcriptions.create(model="minilm", file=("a.wav", b"RIFF\0\0\0\0WAVEfmt "))
except openai.BadRequestError as e:
    assert "does not make text" in str(e) and e.param == "model", e
else:
    raise AssertionError("a model of text was asked about a recording")
print("ok")
