package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// looked is a context that ends after it was looked at for some times.
type looked struct {
	context.Context
	left int
}

func (l *looked) Err() error {
	if l.left--; l.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestNewEnds: a pipeline for which nobody waits is not made ready, nor is a tokenizer for
// which there is no memory, and neither is said to be the document's fault.
func TestNewEnds(t *testing.T) {
	d, err := Parse([]byte(plainDoc(shortText, "[softmax]")))
	if err != nil {
		t.Fatal(err)
	}
	var vocabulary strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&vocabulary, `,"x%x":%d`, i, i+1)
	}
	models, files := parts(textModel(logits()), "t.json", `{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0`+vocabulary.String()+`}, "unk_token": "a"}}`)
	for left := range 10 {
		if _, err := New(&looked{t.Context(), left}, d, models, files, nil); err == nil || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "pipeline.yaml") {
			t.Errorf("error %v after %d looks", err, left)
		}
	}
	full := errors.New("full")
	taken := int64(0)
	if _, err := New(t.Context(), d, models, files, func(n int64) error { taken += n; return full }); err == nil || err.Error() != "full" || taken == 0 {
		t.Errorf("error %v after %d bytes, expected that of who counts", err, taken)
	}
}

// TestLongTextEnds: a run ends within a text, and not behind it.
func TestLongTextEnds(t *testing.T) {
	twice := strings.Replace(tiny, `{"type": "WhitespaceSplit"}`, `{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation"}]}`, 1)
	p := open(t, plainDoc(shortText, "[softmax]"), textModel(logits()), "t.json", twice)
	in := map[string]*tensor.Tensor{"text": tensor.List(strings.Repeat("a ", maxTextBytes/2))}
	asked := false
	ask := func(context.Context, string, map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		asked = true
		return nil, errors.New("asked")
	}
	for left := range 40 {
		if _, err := p.Run(&looked{t.Context(), left}, in, ask); !errors.Is(err, context.Canceled) || asked {
			t.Fatalf("error %v after %d looks", err, left)
		}
	}
}
