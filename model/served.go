package model

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
)

// served is a model with what never changes about it made ready.
type served struct {
	asked
	inputs, outputs []onnx.ValueInfo
	platform        string // as the metadata names it
	labels          []string
	files           []bundle.File // of a bundle
	bytes           int64
	batching        Batching
	loners          *loners
}

func newServed(a asked, platform string, bytes int64) *served {
	return &served{asked: a, inputs: a.Inputs(), outputs: a.Outputs(), platform: platform, bytes: bytes}
}

// Bytes is the memory that the model holds.
func (s *served) Bytes() int64 { return s.bytes }

// found is a model as a caller asked for it, in use until it is released.
type found struct {
	*served
	name, version string
	digest        store.Digest
	release       func()
	asked         string // how the request called it
}

// reference is how a request's path names a model.
func reference(name, version string) (store.Reference, error) {
	r := store.Reference{Name: name}
	if version == "" {
		return r, nil
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || strconv.Itoa(n) != version {
		return r, fail(http.StatusNotFound, "version %.40q, expected a number from 1", version)
	}
	r.Version = n
	return r, nil
}

// find returns a model that is ready. The caller must release it.
func (s *Server) find(ctx context.Context, r *http.Request, named, version string) (*found, error) {
	ref, err := reference(named, version)
	if err != nil {
		return nil, err
	}
	caller := r.Header.Get(CallerHeader)
	h, err := s.store.Use(ctx, caller, ref)
	if err != nil {
		return nil, s.refusal(ctx, err)
	}
	m, ok := h.Ready().(*served)
	if !ok {
		h.Release()
		return nil, errors.New("model: the store has something that is no model")
	}
	e := h.Entry()
	if err := decided(r, e); err != nil {
		h.Release()
		return nil, err
	}
	return &found{m, shownTo(e, caller), strconv.Itoa(e.Version), e.Digest, h.Release, named}, nil
}

// decided refuses a model that is not the one that the policy has decided about and the
// receipt names: without an id there was none a moment ago.
func decided(r *http.Request, e store.Entry) error {
	name, id := r.Header.Get(ModelHeader), r.Header.Get(ModelIDHeader)
	if name+id != "" && (name != e.Canonical() || id != e.Digest.String()) {
		return later(http.StatusConflict, 0, "the name leads to another model than a moment ago; try again")
	}
	return nil
}

// shownTo is the name by which a caller knows a model: that of its own is short.
func shownTo(e store.Entry, caller string) string {
	if e.Owner == caller {
		return e.Name
	}
	return e.Canonical()
}

// tensorMetadata describes an input or output; -1 is a dimension left open.
type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

type modelMetadata struct {
	Name       string            `json:"name"`
	Versions   []string          `json:"versions"`
	Platform   string            `json:"platform"`
	Inputs     []tensorMetadata  `json:"inputs"`
	Outputs    []tensorMetadata  `json:"outputs"`
	Parameters map[string]string `json:"parameters"`
}

func (m *found) describe() modelMetadata {
	d := modelMetadata{Name: m.name, Versions: []string{m.version}, Platform: m.platform, Inputs: describe(m.inputs),
		Outputs: describe(m.outputs), Parameters: map[string]string{"sha256": hex.EncodeToString(m.digest[:])}}
	if len(m.labels) > 0 { // a parameter's value is one string, number or bool
		d.Parameters["labels"] = strings.Join(m.labels, ",")
	}
	for _, f := range m.files {
		d.Parameters["sha256/"+f.Name] = hex.EncodeToString(f.SHA256[:])
	}
	return d
}

func describe(list []onnx.ValueInfo) []tensorMetadata {
	out := make([]tensorMetadata, len(list))
	for i, v := range list {
		out[i] = tensorMetadata{v.Name, datatypeOf(v.Type), append([]int64{}, v.Shape...)}
	}
	return out
}
