package tokenize

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// list is n things with commas between.
func list(n int, one func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = one(i)
	}
	return strings.Join(all, ",")
}

// fileOf is a tokenizer.json of some members.
func fileOf(members ...string) string {
	return `{"version": "1.0", ` + strings.Join(members, ", ") + `}`
}

// dearFiles are files that make much of few bytes, each in its own way.
func dearFiles(n int) map[string]string {
	id := func(i int) string { return fmt.Sprintf(`"%x":%d`, i, i) }
	long := func(i int) string { return fmt.Sprintf(`"%x%s":%d`, i, strings.Repeat("y", 500), i) }
	letters := `"a":0,"b":1,"ab":2,`
	all := `"model": {"type": "WordLevel", "unk_token": "0", "vocab": {` + list(n, id) + `}}`
	bytes := list(256, func(i int) string { return fmt.Sprintf(`%q:%d`, string(byteChar(byte(i))), i) }) + "," +
		list(n, func(i int) string { return fmt.Sprintf(`"%x+":%d`, i, i+256) })
	return map[string]string{
		"short tokens": fileOf(all),
		"one far id":   fileOf(`"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 1048575}}`),
		"words":        fileOf(`"model": {"type": "WordPiece", "unk_token": "0", "continuing_subword_prefix": "", "max_input_chars_per_word": 100, "vocab": {` + list(n, id) + `}}`),
		"long tokens":  fileOf(`"model": {"type": "WordPiece", "unk_token": "0", "continuing_subword_prefix": "", "max_input_chars_per_word": 100, "vocab": {` + list(n/20, long) + `}}`),
		"scores":       fileOf(`"model": {"type": "Unigram", "unk_id": 0, "vocab": [` + list(n, func(i int) string { return fmt.Sprintf(`["%x",-1]`, i) }) + `]}`),
		"merges":       fileOf(`"model": {"type": "BPE", "vocab": {"a":0,"b":1,"ab":2}, "merges": [` + list(n, func(int) string { return `"a b"` }) + `]}`),
		"pairs": fileOf(`"model": {"type": "BPE", "vocab": {` + letters + list(n, func(i int) string { return fmt.Sprintf(`"a-%x":%d,"ba-%x":%d`, i, 2*i+3, i, 2*i+4) }) +
			`}, "merges": [` + list(n, func(i int) string { return fmt.Sprintf(`["b","a-%x"]`, i) }) + `]}`),
		"bytes": fileOf(`"model": {"type": "BPE", "ignore_merges": true, "merges": [], "vocab": {`+bytes+`}}`,
			`"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}`),
		"added": fileOf(all, `"added_tokens": [`+list(n, func(i int) string {
			return fmt.Sprintf(`{"id":%d,"content":"%x","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":true}`, i, i)
		})+`]`, `"normalizer": {"type": "Replace", "pattern": {"String": "1"}, "content": "`+strings.Repeat("z", 300)+`"}`),
		"template": fileOf(all, `"post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {`+
			list(n/4, func(i int) string { return fmt.Sprintf(`"%x":{"id":"","ids":[1,1,1,1],"tokens":["","","",""]}`, i) })+`}}`),
		"patterns": fileOf(all, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [`+list(60, func(i int) string {
			return fmt.Sprintf(`{"type":"Split","pattern":{"Regex":"%s"},"behavior":"Isolated","invert":false}`, strings.Repeat("[^a]", 200))
		})+`]}`),
		"charsmap": fileOf(all, `"normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAB4`+strings.Repeat("eHh4", 20*n)+`"}`),
	}
}

// live is the memory that is in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBytes: what Parse takes is asked for before, and what stays is known, however a file
// goes about it.
func TestBytes(t *testing.T) {
	const little = 512 << 10 // what is not counted, and other tests' garbage
	for name, file := range dearFiles(6_000) {
		t.Run(name, func(t *testing.T) {
			json := []byte(file)
			lim := DefaultLimits()
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			taken, worst, looks := int64(0), int64(0), 0
			before := live()
			lim.Take = func(n int64) error {
				if looks++; looks%4 == 0 {
					worst = max(worst, live()-before-taken)
				}
				taken += n
				return nil
			}
			tok, err := Parse(json, lim)
			if err != nil {
				t.Fatal(err)
			}
			held := live() - before
			t.Logf("%d bytes uncounted at most, %d bytes of file: %.1f times as much asked for, %.1f counted, %.1f held", worst, len(json), float64(taken)/float64(len(json)), float64(tok.Bytes())/float64(len(json)), float64(held)/float64(len(json)))
			if worst > little {
				t.Errorf("%d bytes more than was asked for were in use", worst)
			}
			if held > tok.Bytes()+little {
				t.Errorf("holds %d bytes, says %d", held, tok.Bytes())
			}
			if got := tok.Bytes(); got > taken+little {
				t.Errorf("%d bytes are held of %d", got, taken)
			}
			runtime.KeepAlive(tok)
			runtime.KeepAlive(json)
		})
	}
}

// TestTakeRefuses: no file is read further than there is memory for.
func TestTakeRefuses(t *testing.T) {
	full := errors.New("full")
	for name, file := range dearFiles(2_000) {
		if name == "one far id" {
			continue
		}
		lim := DefaultLimits()
		lim.Take = func(int64) error { return full }
		if _, err := Parse([]byte(file), lim); !errors.Is(err, full) {
			t.Errorf("%s: error %v, expected that of Take", name, err)
		}
	}
}

// TestEndedContext: nobody reads a file, or a text, for which nobody waits. The context
// ends after so many looks at it.
func TestEndedContext(t *testing.T) {
	for name, file := range dearFiles(3_000) {
		all := &ending{Context: t.Context(), after: 1 << 30}
		if _, err := ParseContext(all, []byte(file), DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		looks := 1<<30 - all.after
		t.Logf("%s: %d looks", name, looks)
		for after := 0; after < looks; after += 1 + looks/4 {
			if _, err := ParseContext(&ending{Context: t.Context(), after: after}, []byte(file), DefaultLimits()); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: error %v after %d of %d looks", name, err, after, looks)
			}
		}
	}
}

// ending is a context that ends after it was looked at for some times.
type ending struct {
	context.Context
	after int
}

func (e *ending) Err() error {
	if e.after--; e.after < 0 {
		return context.Canceled
	}
	return nil
}

// TestEndedEncode: each step that takes long on a text looks at the context.
func TestEndedEncode(t *testing.T) {
	const size = 1 << 12
	long := strings.Repeat("y", 900)
	unigram := fileOf(`"model": {"type": "Unigram", "unk_id": 0, "vocab": [["?",-9],` + list(900, func(i int) string { return fmt.Sprintf(`["%s",-1]`, long[:i+1]) }) + `]}`)
	spaces := fileOf(`"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a":0}}`,
		`"added_tokens": [{"id":1,"content":" ","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":true}]`)
	pattern := fileOf(`"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a":0}}`,
		`"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a+b"}, "behavior": "Isolated", "invert": false}`)
	merged := fileOf(`"model": {"type": "BPE", "vocab": {"a":0,"aa":1,"aaaa":2}, "merges": ["a a","aa aa"]}`)
	for name, c := range map[string]struct{ file, text string }{
		"unigram": {unigram, strings.Repeat("y", size)},
		"added":   {spaces, strings.Repeat(" ", size/4)},
		"pattern": {pattern, strings.Repeat("a", 2000)},
		"merges":  {merged, strings.Repeat("a", size)},
		"pieces":  {bertFile(), strings.Repeat("hello ", size/6)},
	} {
		tok := parse(t, c.file)
		all := &ending{Context: t.Context(), after: 1 << 30}
		_, _ = tok.EncodeContext(all, c.text)
		looks := 1<<30 - all.after
		if looks < 10 {
			t.Errorf("%s: %d looks at the context", name, looks)
		}
		for after := range 4 {
			if _, err := tok.EncodeContext(&ending{Context: t.Context(), after: after * looks / 4}, c.text); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: error %v after %d of %d looks", name, err, after*looks/4, looks)
			}
		}
	}
}

// growing is a tokenizer whose decoder makes twice as much at each of n steps, and takes it
// away in the end.
func growing(n int) string {
	more := strings.Repeat(`{"type": "BPEDecoder", "suffix": ""}, `, n)
	return fileOf(`"model": {"type": "WordLevel", "unk_token": "ab", "vocab": {"ab":0,"ba":1}}`,
		`"decoder": {"type": "Sequence", "decoders": [`+more+`{"type": "CTC", "pad_token": " ", "word_delimiter_token": "|", "cleanup": false}]}`)
}

// TestDecodeGrows: what the steps of a decoder make of a few tokens is bounded at each of them.
func TestDecodeGrows(t *testing.T) {
	lim := DefaultLimits()
	lim.WorkBytes = 1 << 12
	ids := []int64{0, 1, 0}
	for steps, ok := range map[int]bool{4: true, 16: false} {
		tok, err := Parse([]byte(growing(steps)), lim)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := tok.Decode(ids, true); ok != (err == nil && text == "abbaab") || !ok && !errors.Is(err, ErrLimit) {
			t.Errorf("%d steps: %.20q, error %v", steps, text, err)
		}
	}
	tok := parse(t, growing(4))
	for after := range 4 {
		if _, err := tok.DecodeContext(&ending{Context: t.Context(), after: after}, ids, true); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v after %d looks at a context that ended", err, after)
		}
	}
}
