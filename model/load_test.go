package model

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/examples/tumour"
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
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=far", bytes.NewReader(data)), 507, " of memory, the box has 8 MiB")
	want(t, as(t, s, "clinic", "GET", "/v2/models", nil), 200, `{"models":[{"name":"tumour"`)
}

// unending is a body that begins so, and of which more comes for ever.
type unending struct {
	io.Reader
	read int
}

func (e *unending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		clear(p)
		n, err = len(p), nil
	}
	e.read += n
	return n, err
}

// TestAnotherKindOfFile: what is no model is refused by its first bytes, with what it is and
// what to do, while the rest of it is still to come.
func TestAnotherKindOfFile(t *testing.T) {
	s := repository(t, false, func(c *store.Config) { c.Memory, c.OwnerBytes = 1<<30, 1<<29 })
	for begins, says := range map[string]string{
		"GGUF\x03\x00\x00\x00": "GGUF), expected an ONNX model. There is no way back",
		"PK\x03\x04\x00":       "a zip archive",
		"<!DOCTYPE html>":      "HTML",
		"version https://git-lfs.github.com/spec/v1\n": "`git lfs pull`",
	} {
		body := &unending{Reader: strings.NewReader(begins)}
		want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=m", body), 422, says)
		if body.read > 4<<20 {
			t.Errorf("%q: %d bytes were read", begins, body.read)
		}
		if _, err := Load("m", []byte(begins+strings.Repeat("\x00", 600))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", begins, err)
		}
	}
	bad := triaged(t, files{"triage.onnx": "GGUF\x03"}).pack(t)
	want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=m", bytes.NewReader(bad)), 422, "triage.onnx: it seems to be")
}

// TestBodiesHaveARoom: what requests bring is held within bounds, together and for each
// caller, and what is too large is told the key to change.
func TestBodiesHaveARoom(t *testing.T) {
	s, err := NewServer([]Loaded{mustLoad(t, "tumour", tumour.Model())}, WithBodyLimit(40<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	large := func() io.Reader { return io.MultiReader(strings.NewReader("{"), bytes.NewReader(make([]byte, 30<<20))) }
	var held []func()
	for range 5 { // 160 MiB are one caller's half, and a body of 30 MiB takes up to 72 while it grows
		if _, free, err := s.bodies.ReadAll("hostile", large(), 40<<20); err == nil {
			held = append(held, free)
		}
	}
	want(t, as(t, s, "hostile", "POST", "/v2/models/tumour/infer", large()), 429, "take the memory that this one needs; try again")
	want(t, as(t, s, "clinic", "POST", "/v2/models/tumour/infer", large()), 400, "")
	for _, free := range held {
		free()
	}
	want(t, as(t, s, "hostile", "POST", "/v2/models/tumour/infer", large()), 400, "")
	want(t, as(t, s, "clinic", "POST", "/v2/models/tumour/infer", bytes.NewReader(make([]byte, 41<<20))), 413, "limits.request")
}
