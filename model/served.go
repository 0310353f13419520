package model

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
)

// served is a model with what never changes about it made ready.
type served struct {
	session         *onnx.Session
	inputs, outputs []onnx.ValueInfo
	labels          []string
	bytes           int64
}

// Bytes is the memory that the model holds: its weights, or as much as its file, since
// a file of many small nodes takes more than its weights say.
func (s *served) Bytes() int64 { return s.bytes }

func newServed(s *onnx.Session, file int64, labels []string) *served {
	return &served{session: s, inputs: s.Inputs(), outputs: s.Outputs(), labels: labels, bytes: max(s.Weights(), file)}
}

// loader makes a model of a file for the store.
type loader struct {
	limits onnx.Limits
	runs   *schedule.Scheduler
}

// unfused is the option of a model that was uploaded with optimize=false.
const unfused = "optimize=false"

// Load implements [store.Loader]. It reads as fast as the file comes, and waits for its
// turn before it lays out the weights, which takes a processor for itself.
func (l *loader) Load(ctx context.Context, options string, r io.Reader) (store.Ready, error) {
	var opts []onnx.Option
	switch options {
	case "":
	case unfused:
		opts = append(opts, onnx.WithoutFusion())
	default:
		return nil, fmt.Errorf("model: the options %.40q, expected none or %q", options, unfused)
	}
	file := &counted{Reader: r}
	m, err := onnx.ParseFrom(file, l.limits)
	if err != nil {
		return nil, err
	}
	resume := store.Pause(ctx) // what others load is not this model's time
	release, err := l.runs.Background(ctx, store.Owner(ctx))
	resume()
	if err != nil {
		return nil, err
	}
	defer release()
	s, err := onnx.NewSessionContext(ctx, m, opts...)
	if err != nil {
		return nil, err
	}
	return newServed(s, file.n, nil), nil
}

// counted counts what was read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// found is a model as a caller asked for it, in use until it is released.
type found struct {
	*served
	name, version string
	digest        store.Digest
	release       func()
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
	return &found{m, shownTo(e, caller), strconv.Itoa(e.Version), e.Digest, h.Release}, nil
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
	d := modelMetadata{Name: m.name, Versions: []string{m.version}, Platform: "onnx_onnxv1", Inputs: describe(m.inputs),
		Outputs: describe(m.outputs), Parameters: map[string]string{"sha256": hex.EncodeToString(m.digest[:])}}
	if len(m.labels) > 0 { // a parameter's value is one string, number or bool
		d.Parameters["labels"] = strings.Join(m.labels, ",")
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
