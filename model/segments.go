package model

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// segment is some of what was said, and when, in seconds.
type segment struct {
	ID    int     `json:"id"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	Text  string  `json:"text"`
}

// Outputs of a model that says when something was said: an element for each segment.
const (
	segmentOutput = "segment"
	startOutput   = "start"
	endOutput     = "end"
)

// says tells whether a model has an output.
func (m *found) says(name string) bool {
	return slices.ContainsFunc(m.outputs, func(v onnx.ValueInfo) bool { return v.Name == name })
}

// segmentsOf reads when something was said; nil if the model does not say.
func segmentsOf(out map[string]*tensor.Tensor) ([]segment, error) {
	text, start, end := out[segmentOutput], out[startOutput], out[endOutput]
	if text == nil {
		return nil, nil
	}
	bad := fail(http.StatusUnprocessableEntity, "the model gave no times for what was said")
	if text.Type != tensor.String || start == nil || end == nil || start.Type != tensor.Float32 || end.Type != tensor.Float32 || start.Len() != text.Len() || end.Len() != text.Len() {
		return nil, bad
	}
	list := make([]segment, text.Len())
	for i, said := range tensor.Data[string](text) {
		from, to := float64(tensor.Data[float32](start)[i]), float64(tensor.Data[float32](end)[i])
		if !(0 <= from && from <= to && to <= longestRecording.Seconds()) || !utf8.ValidString(said) {
			return nil, bad
		}
		list[i] = segment{i, hundredths(from), hundredths(to), said}
	}
	return list, nil
}

func hundredths(seconds float64) float64 { return math.Round(seconds*100) / 100 }

// srt writes SubRip's format, as players of films read it.
func srt(segments []segment) string {
	var b strings.Builder
	for i, s := range segments {
		fmt.Fprintf(&b, "%d\n%s --> %s\n%s\n\n", i+1, clock(s.Start, ","), clock(s.End, ","), line(s.Text))
	}
	return b.String()
}

// vtt writes WebVTT, as browsers read it.
func vtt(segments []segment) string {
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;") // WebVTT, section 4.2.2
	var b strings.Builder
	b.WriteString("WEBVTT\n\n")
	for _, s := range segments {
		fmt.Fprintf(&b, "%s --> %s\n%s\n\n", clock(s.Start, "."), clock(s.End, "."), escaped.Replace(line(s.Text)))
	}
	return b.String()
}

// line is text that ends no cue and begins none.
func line(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "-->", "->")
}

// clock writes seconds as hours, minutes, seconds and, behind a mark, thousandths.
func clock(seconds float64, mark string) string {
	d := time.Duration(math.Round(seconds*1000)) * time.Millisecond
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", d/time.Hour, d/time.Minute%60, d/time.Second%60, mark, d/time.Millisecond%1000)
}
