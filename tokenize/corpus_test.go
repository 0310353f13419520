package tokenize

import (
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentences are the words that the corpus is made of.
var sentences = []string{
	"The quick brown fox jumps over the lazy dog, and then it doesn't: it's gone! We'LL see; I'M sure they'Ve left.",
	"Übergrößenträger läuft schnell über die Straße; naïve café, façade, Ångström, İstanbul ıslak, ǅungla, ſtraße.",
	"L'élève où ça, garçon! Œuvre d'art à Noël. ¿Dónde está el niño? ¡Aquí! São Paulo, coração, pão de ló.",
	"Příliš žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń. Trăng đêm Việt Nam, Tiếng Việt có dấu thanh.",
	"Съешь же ещё этих мягких французских булок, да выпей чаю. Ёжик. Її ґанок. Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ΣΊΣΥΦΟΣ.",
	"我能吞下玻璃而不伤身体。中文分詞很難，對嗎？「引號」、頓號。𠀀𠮷𪚥 㐀㐁 豈更車賈",
	"私はガラスを食べられます。それは私を傷つけません。カタカナ・ひらがな、ﾊﾝｶｸ ＦＵＬＬ ガギグ ㍿ ㌔ 々〆ヶ ー",
	"나는 유리를 먹을 수 있어요. 그래도 아프지 않아요. 한글 각 ㄱㄴㄷ 뷁",
	"ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ น้ำ กำ เก่า ๑๒๓ ກິນ ຂ້ອຍ ម៉ូដូ ကျွန်တော်",
	"أنا قادر على أكل الزجاج و هذا لا يؤلمني. مُشَكَّل ١٢٣ ﷺ ﷲ לא אִכְפַּת לִי ۱۲۳ اردو میں",
	"मैं काँच खा सकता हूँ और मुझे उससे कोई चोट नहीं पहुंचती. क्षत्रिय श्री १२३ আমি কাঁচ খেতে পারি। நான் கண்ணாடி സാധ്യമാണ്",
	"😀😃 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷🇯 🏳️‍🌈 ❤️ ☺️ 1️⃣ 🫠 🧑🏿‍🚀 ©️®™ ‼️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
	"for (int i = 0; i < 10; ++i) { a[i] += b->c * 3.14159e-10; } // TODO(x) != NULL && !y || z\n\tif __name__ == '__main__':\r\n        return f\"{x:>08.3f}\"",
	"12345 67,890.12 0xDEADBEEF 1/2 ½ ² ³ ¼ Ⅷ ⅷ ① ⑴ ㊿ 3rd 2024-02-29T23:59:59Z +49 (0)30 123456 １２３ 𝟏𝟐𝟑",
	"http://example.com/a%20b?c=d&e=f#g user@example.org C:\\Windows\\System32 /usr/bin/env $HOME ~/.bashrc #hashtag @name",
	"“quotes” ‘single’ «guillemets» „tief“ – en — em … ‽ ⁇ † ‡ • § ¶ ° ± × ÷ ≠ ≤ ∞ ∑ ∫ √ π µ Ω € £ ¥ ₿ ¤ `ticks` ^caret^ |pipe| <tag>",
	"ﬁ ﬂ ﬃ ﬆ ŉ ĳ Ǆ ǆ ª º ₁₂₃ ⁴⁵ ℃ ℡ Å K Ω ﹏ ︵ ＝ ⓐⓩ ⒈ ㈱ ㎏ ﾞ",
	"[CLS] [SEP] [MASK] [UNK] [PAD] <s> </s> <unk> <pad> <mask> <|endoftext|> <|im_start|>user<|im_end|> <extra> ##ing ▁x Ġ <0x0A> [DAY]day dayS",
	"supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
}

// oddities are what texts of strangers have between words.
var oddities = []string{
	" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\u200d", "\u200c", "\ufeff", "\u2028", "\u2029",
	"\u0085", "\v", "\f", "\x01", "\x1b", "\x7f", "\u0080", "\u00ad", "\ufffd", "\ue000", "\U000f0000", "\U0010ffff", "\uffff", "\ufdd0",
	"e\u0301", "\u0301", "a\u0308\u0323", "\u0344", "q\u0307\u0323", "\u1100\u1161\u11a8", "각\u11a8", "\u0e33", "नि", "க்ஷ", "\u0378", "\U00011938", "\U00011935\U00011930",
	"\u0149", "İ", "ß", "ẞ", "ς", "Σ", "'s", "'S", "'ſ", "'LL", "’s", "\u212a", "\u1e9b\u0323", "\u0958", "\u2126", "\uac00", "\U0001f1e9", "©\u200d©", "a\u0300\u0300\u0300",
	"▁", "▁▁", "Ġ", "<s>", "</s>", "[SEP]", "<mask>", "<|endoftext|>", " <mask> ", "x<mask>y", "\x00", "!", "...", "?!?!", "--", "____", "((()))", "0", "00", "000", "0000",
}

// corpus makes n texts, the same for the same seed.
func corpus(n int, seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 26))
	var words []string
	for _, s := range sentences {
		words = append(words, strings.Fields(s)...)
	}
	out := append([]string{"", " ", "\n", "a"}, sentences...)
	for len(out) < n {
		out = append(out, text(r, words))
	}
	return out[:n]
}

func text(r *rand.Rand, words []string) string {
	switch r.IntN(40) {
	case 0:
		return strings.Repeat(pick(r, oddities), 1+r.IntN(60))
	case 1:
		return strings.Repeat(pick(r, words), 1+r.IntN(40))
	case 2:
		return anyCharacters(r, 1+r.IntN(60))
	case 3:
		return pick(r, sentences) + pick(r, oddities) + pick(r, sentences)
	}
	var b strings.Builder
	home := r.IntN(len(sentences))
	local := strings.Fields(sentences[home])
	for range 1 + r.IntN(30) {
		switch r.IntN(12) {
		case 0:
			b.WriteString(pick(r, oddities))
		case 1:
			b.WriteString(pick(r, words))
		case 2:
			w := []rune(pick(r, local))
			b.WriteString(string(w[:1+r.IntN(len(w))]))
		case 3:
			b.WriteString(strings.ToUpper(pick(r, local)))
		case 4:
			b.WriteString(anyCharacters(r, 1+r.IntN(3)))
		default:
			b.WriteString(pick(r, local))
		}
		if r.IntN(8) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// anyCharacters returns characters of all of Unicode, mostly assigned ones.
func anyCharacters(r *rand.Rand, n int) string {
	var b strings.Builder
	for n > 0 {
		c := rune(r.IntN([]int{0x250, 0x3000, 0x10000, 0x20000, utf8.MaxRune + 1}[r.IntN(5)]))
		if !utf8.ValidRune(c) || !unicode.IsGraphic(c) && r.IntN(20) > 0 {
			continue
		}
		b.WriteRune(c)
		n--
	}
	return b.String()
}

// everyCharacter returns texts that have, together, every assigned character: each between
// letters, and each by itself between spaces.
func everyCharacter() (out []string) {
	var a, b strings.Builder
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || r > 0x32000 && r < 0xe0000 || r > 0xe0200 && r%0x1000 > 8 {
			continue // planes without assigned characters, and private ones
		}
		a.WriteString("a" + string(r))
		b.WriteString(" " + string(r))
		if b.Len() > 4000 || r == utf8.MaxRune {
			out = append(out, a.String(), b.String())
			a.Reset()
			b.Reset()
		}
	}
	return out
}
