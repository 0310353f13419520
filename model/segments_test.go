package model

import (
	"math"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

func segments(text []string, start, end []float32) map[string]*tensor.Tensor {
	return map[string]*tensor.Tensor{"segment": tensor.List(text...), "start": tensor.List(start...), "end": tensor.List(end...)}
}

// TestSubtitles writes the formats of players and of browsers, in which a text ends no cue.
func TestSubtitles(t *testing.T) {
	list, err := segmentsOf(segments([]string{"Hello,\n\n2\n", "00:01 --> 00:02 <b>AT&T"}, []float32{0, 59.999}, []float32{7.74, 3661.5}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := srt(list), "1\n00:00:00,000 --> 00:00:07,740\nHello, 2\n\n2\n00:01:00,000 --> 01:01:01,500\n00:01 -> 00:02 <b>AT&T\n\n"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	if got, want := vtt(list), "WEBVTT\n\n00:00:00.000 --> 00:00:07.740\nHello, 2\n\n00:01:00.000 --> 01:01:01.500\n00:01 -&gt; 00:02 &lt;b&gt;AT&amp;T\n\n"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	if srt(nil) != "" || vtt(nil) != "WEBVTT\n\n" {
		t.Errorf("%q, %q", srt(nil), vtt(nil))
	}
}

// TestTimedAnswers: what a model says of times is in the answers that have room for it.
func TestTimedAnswers(t *testing.T) {
	list, err := segmentsOf(segments([]string{"one"}, []float32{0.1}, []float32{2.3}))
	if err != nil {
		t.Fatal(err)
	}
	// A second of silence: 8,000 samples of 8 bits.
	wav := "RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00" + strings.Repeat("\x00", 8000)
	for format, want := range map[string]string{
		"json": `{"text":"one"}`, "text": "one\n",
		"verbose_json": `{"task":"transcribe","language":"en","duration":1,"text":"one","segments":[{"id":0,"start":0.1,"end":2.3,"text":"one"}]}`,
		"srt":          "1\n00:00:00,100 --> 00:00:02,300\none\n\n", "vtt": "WEBVTT\n\n00:00:00.100 --> 00:00:02.300\none\n\n",
	} {
		q := transcriptionRequest{recording: wav, format: format, language: "en"}
		if r, err := q.answer("one", list); err != nil || string(r.body) != want || (r.contentType == "") != strings.Contains(format, "json") {
			t.Errorf("%s: %s %q %v", format, r.body, r.contentType, err)
		}
	}
	q := transcriptionRequest{recording: wav, format: "verbose_json"}
	for want, of := range map[string][]segment{`"segments":[]}`: {}, `"text":""}`: nil} { // nothing was said; nobody knows when
		if r, err := q.answer("", of); err != nil || !strings.HasSuffix(string(r.body), want) {
			t.Errorf("%s %v, expected %s", r.body, err, want)
		}
	}
}

// TestBrokenTimes: a model that breaks its word gives no answer.
func TestBrokenTimes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, out := range map[string]map[string]*tensor.Tensor{
		"no start":     {"segment": tensor.List("a")},
		"numbers":      {"segment": tensor.List[float32](1), "start": tensor.List[float32](1), "end": tensor.List[float32](1)},
		"whole starts": {"segment": tensor.List("a"), "start": tensor.List[int64](1), "end": tensor.List[float32](1)},
		"few":          segments([]string{"a", "b"}, []float32{0, 1}, []float32{1}),
		"backwards":    segments([]string{"a"}, []float32{2}, []float32{1}),
		"before":       segments([]string{"a"}, []float32{-1}, []float32{1}),
		"no number":    segments([]string{"a"}, []float32{nan}, []float32{1}),
		"no end":       segments([]string{"a"}, []float32{0}, []float32{inf}),
		"no text":      segments([]string{"\xff"}, []float32{0}, []float32{1}),
	} {
		if list, err := segmentsOf(out); err == nil || list != nil {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if list, err := segmentsOf(nil); err != nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
}
