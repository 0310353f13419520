"""The unmodified OpenAI client, one line changed: base_url is the local proxy."""
import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="-", max_retries=0, timeout=20)
print("models", [m.id for m in client.models.list()])
ask = [{"role": "user", "content": "one patient has a cough"}]
whole = client.chat.completions.create(model="upper", messages=ask)
print("whole", whole.choices[0].message.content, "key seen by app:", whole.system_fingerprint)
parts = [c.choices[0].delta.content for c in client.chat.completions.create(model="upper", messages=ask, stream=True)]
print("stream", parts)
