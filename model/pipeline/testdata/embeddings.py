"""Makes the golden embeddings of TestEmbeddingsGolden.

    python embeddings.py MODEL.onnx tokenizer.json OUT.bin

Each of the sentences goes through the `tokenizers` library (at most 256 tokens), ONNX
Runtime on the CPU, mean pooling over the attention mask and division by the length, as
sentence-transformers does it for all-MiniLM-L6-v2, one sentence at a time. All sentences
padded together, in batches of 32, are compared with that. OUT.bin holds float32, little
endian, sentence by sentence; sentences.json, written beside it, the sentences.

Made with onnxruntime 1.32.0, tokenizers 0.23.3, numpy 2.4.6.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
import tokenizers

LINES = """
The patient has a mild fever and a dry cough.
Take two tablets after each meal.
Der Patient hat leichtes Fieber und trockenen Husten.
Über die Straße läuft ein größerer Hund.
Le patient présente une légère fièvre et une toux sèche.
Où est la bibliothèque, s'il vous plaît ?
El paciente tiene fiebre leve y tos seca.
¿Dónde está el hospital más cercano?
O paciente apresenta febre baixa e tosse seca.
Não há açúcar no café.
Il paziente ha una lieve febbre e tosse secca.
Perché la città è così tranquilla?
De patiënt heeft lichte koorts en een droge hoest.
Pacjent ma lekką gorączkę i suchy kaszel.
Zażółć gęślą jaźń.
Pacient má mírnou horečku a suchý kašel.
Příliš žluťoučký kůň úpěl ďábelské ódy.
A betegnek enyhe láza és száraz köhögése van.
Hastanın hafif ateşi ve kuru öksürüğü var.
İstanbul'da ılık bir akşam.
Potilaalla on lievä kuume ja kuiva yskä.
Patienten har lätt feber och torrhosta.
Sjúklingurinn er með vægan hita og þurran hósta.
У пациента небольшая температура и сухой кашель.
Хворий має невелику температуру і сухий кашель.
Ο ασθενής έχει ελαφρύ πυρετό και ξηρό βήχα.
للمريض حمى خفيفة وسعال جاف.
לחולה יש חום קל ושיעול יבש.
रोगी को हल्का बुखार और सूखी खांसी है।
রোগীর হালকা জ্বর এবং শুকনো কাশি আছে।
நோயாளிக்கு லேசான காய்ச்சலும் வறட்டு இருமலும் உள்ளது.
ผู้ป่วยมีไข้เล็กน้อยและไอแห้ง
Bệnh nhân bị sốt nhẹ và ho khan.
患者有轻微发烧和干咳。
病人有輕微發燒和乾咳。
患者は微熱と乾いた咳があります。
カタカナとひらがなと漢字が混ざった文。
환자는 미열과 마른기침이 있습니다.
პაციენტს აქვს მსუბუქი სიცხე და მშრალი ხველა.
Հիվանդն ունի թեթև ջերմություն և չոր հազ։
በሽተኛው ቀላል ትኩሳት እና ደረቅ ሳል አለው።
Mgonjwa ana homa kidogo na kikohozi kikavu.
Invoice 4711 of 2026-03-31: 1,299.00 EUR, due in 30 days.
SELECT name, dose FROM drugs WHERE dose > 5.5 ORDER BY name;
func main() { fmt.Println("hello, world") }
https://example.org/a/very/long/path?with=parameters&and=more#fragment
someone@example.org wrote at 12:34:56+02:00
C₆H₁₂O₆ + 6 O₂ → 6 CO₂ + 6 H₂O
∑ᵢ xᵢ² ≤ ‖x‖² and √2 ≈ 1.41421356
👩‍⚕️ gives 💊 to 🤒
🇩🇪🇫🇷🇯🇵 👍🏽 ❤️‍🔥
""".strip().split("\n")

ODD = [
    "", " ", "\t\n", "a", ".", "?!", "[CLS]", "[MASK] is a word", "##ing", "\u00a0", "\u200d", "\ufffd", "e\u0301", "\u1e9b\u0323",
    "A" * 99, "A" * 101, "0" * 300, "word " * 300, "漢" * 300, "😀" * 300, "one\ntwo\r\nthree\tfour", "\u202eleft", "ﬁne ﬂour", "ＦＵＬＬ ｗｉｄｔｈ",
    "don't can't won't", "U.S.A. vs. U.K.", "x" + "-" * 50 + "y",
]


def sentences():
    made = ODD + LINES
    for i, line in enumerate(LINES):
        made.append(line + " " + LINES[(7 * i + 3) % len(LINES)])
        made.append(line.upper() if i % 2 else line.lower() + "!")
    longest = " ".join(LINES)
    made += [longest, longest[700:]] + [longest[at:at + 300] for at in range(0, 1100, 50)]
    return made[:200]


def main():
    model, tokenizer, out = sys.argv[1:]
    texts = sentences()
    assert len(texts) == 200, len(texts)
    t = tokenizers.Tokenizer.from_file(tokenizer)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def embed(batch, pad):
        t.enable_truncation(256)
        t.enable_padding() if pad else t.no_padding()
        got = t.encode_batch(batch)
        ids, mask, types = (np.array([getattr(e, k) for e in got], np.int64) for k in ("ids", "attention_mask", "type_ids"))
        hidden = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        weight = mask[:, :, None].astype(np.float32)
        mean = (hidden * weight).sum(1) / np.clip(weight.sum(1), 1e-9, None)
        return mean / np.clip(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12, None)

    single = np.concatenate([embed([s], False) for s in texts])
    padded = np.concatenate([embed(texts[i:i + 32], True) for i in range(0, 200, 32)])
    print("padded together, worst difference:", np.linalg.norm(single - padded, axis=1).max())
    single.astype("<f4").tofile(out)
    pathlib.Path(out).with_name("sentences.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0) + "\n")


main()
