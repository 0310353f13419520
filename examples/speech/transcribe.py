"""Writes subtitles of a recording, with OpenAI's client as it is: python3 transcribe.py ADDRESS RECORDING"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="the box has none")
with open(sys.argv[2], "rb") as recording:
    print(client.audio.transcriptions.create(model="whisper", file=recording, response_format="srt"))
