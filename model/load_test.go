package model

import (
	"bytes"
	"testing"

	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
)

// TestTrialsTakeNothingOfRuns: what is tried when a model is loaded has memory of its own.
// It is tried while runs have all of theirs, and runs go on while trials have all of that.
func TestTrialsTakeNothingOfRuns(t *testing.T) {
	s, err := NewServer([]Loaded{mustLoad(t, "triage", triaged(t, nil).pack(t))}, WithStore(bounds()), WithMemory(1<<16))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	runs := s.budget.Share()
	if err := runs.Take(1 << 16); err != nil {
		t.Fatal(err)
	}
	bad := triaged(t, files{"triage.onnx": string(tooFew())}).pack(t)
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=bad", bytes.NewReader(bad)), 422, "cannot take what input and output promise")
	runs.Release()
	m, err := readFile(bytes.NewReader(triaged(t, nil).pack(t)), onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.serve(t.Context(), onnx.NewBudget(1)); err != nil {
		t.Errorf("a model for whose trial there is no memory: %v", err)
	}
}

// TestTokenizersCount: a file of some bytes asks for a table of a million tokens. It counts
// for the memory of the models that callers bring, while it is read and afterwards.
func TestTokenizersCount(t *testing.T) {
	far := `{"version": "1.0", "model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "chest": 1048575}}}`
	data := triaged(t, files{"tokenizer.json": far}).pack(t)
	s := repository(t, false, func(c *store.Config) { c.Memory = 8 << 20 })
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=far", bytes.NewReader(data)), 507, "bytes of memory, the box has 8388608")
	want(t, as(t, s, "clinic", "GET", "/v2/models", nil), 200, `{"models":[{"name":"tumour"`)
}
