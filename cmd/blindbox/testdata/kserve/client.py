"""Asks the server at argv[1] with kserve's client over HTTP, and at argv[2] over gRPC, as its users do, and prints "ok"."""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, grpc = sys.argv[1], sys.argv[2]
texts = ["a cat sits on the mat", "a kitten rests on a rug", "quarterly earnings fell"]


def request(binary):
    text = InferInput("text", [len(texts)], "BYTES")
    text.set_data_from_numpy(np.array([t.encode() for t in texts], dtype=object), binary_data=binary)
    return InferRequest(model_name="minilm", infer_inputs=[text], request_id="r1")


def embeddings(answer):
    (embedding,) = [o for o in answer.outputs if o.name == "embedding"]
    vectors = np.asarray(embedding.as_numpy(), dtype=np.float32)
    assert vectors.shape == (3, 384) and answer.model_name == "minilm" and answer.id == "r1", answer
    assert vectors[0] @ vectors[1] > 0.5 > 0.3 > vectors[0] @ vectors[2]
    return vectors


async def ask():
    rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=60))
    assert await rest.is_server_live(url) and await rest.is_server_ready(url)
    assert await rest.is_model_ready(url, "minilm")
    json = embeddings(await rest.infer(url, request(binary=False), model_name="minilm"))
    binary = embeddings(await rest.infer(url, request(binary=True), model_name="minilm"))
    assert (json == binary).all()
    try:
        await rest.infer(url, request(binary=False), model_name="tumour")
    except Exception as e:
        assert "403" in str(e), e
    else:
        raise AssertionError("another model answers")
    await rest.close()

    client = InferenceGRPCClient(url=grpc, retries=0)
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("minilm")
    assert (embeddings(await client.infer(request(binary=True))) == json).all()
    await client.close()


asyncio.run(ask())
print("ok")
