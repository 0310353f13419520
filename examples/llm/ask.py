"""The OpenAI client as it is, pointed at `blindbox connect`."""
import json
import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="-", max_retries=4, timeout=120)
print("models", [m.id for m in client.models.list()])
ask = [{"role": "user", "content": "Write one sentence about the sea."}]
whole = client.chat.completions.create(model="smollm2", messages=ask, max_tokens=16, temperature=0)
print("whole", whole.usage.completion_tokens, json.dumps(whole.choices[0].message.content))
parts = []
for chunk in client.chat.completions.create(model="smollm2", messages=ask, max_tokens=16, temperature=0, stream=True):
    parts += [c.delta.content for c in chunk.choices if c.delta.content]
print("stream", len(parts), json.dumps("".join(parts)))
