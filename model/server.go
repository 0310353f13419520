package model

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// version is the only version that a model has: another file is another model,
// told apart by its digest.
const version = "1"

// CallerHeader names who sends a request: the box sets it, and takes it from nobody.
// Without it all requests are one caller's.
const CallerHeader = "Blindbox-Caller"

// server routes requests. It holds nothing of a request after answering it.
type server struct {
	config
	models map[string]*served
	runs   *schedule.Scheduler
	flight chan struct{} // one token per request from its body's first byte on
	budget *onnx.Budget  // what the tensors of all runs take together
}

// served is a model with what never changes about it made ready.
type served struct {
	Loaded
	inputs, outputs []onnx.ValueInfo
	metadata        []byte
}

func newServed(m Loaded) (*served, error) {
	if err := checkName(m.Name); err != nil {
		return nil, err
	}
	if m.Session == nil {
		return nil, fmt.Errorf("model: %s has no session", m.Name)
	}
	if m.Digest == [32]byte{} {
		return nil, fmt.Errorf("model: %s has no digest", m.Name)
	}
	s := &served{Loaded: m, inputs: m.Session.Inputs(), outputs: m.Session.Outputs()}
	var err error
	s.metadata, err = json.Marshal(s.describe())
	return s, err
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

func (s *served) describe() modelMetadata {
	m := modelMetadata{Name: s.Name, Versions: []string{version}, Platform: "onnx_onnxv1", Inputs: describe(s.inputs),
		Outputs: describe(s.outputs), Parameters: map[string]string{"sha256": hex.EncodeToString(s.Digest[:])}}
	if len(s.Labels) > 0 { // a parameter's value is one string, number or bool
		m.Parameters["labels"] = strings.Join(s.Labels, ",")
	}
	return m
}

func describe(list []onnx.ValueInfo) []tensorMetadata {
	out := make([]tensorMetadata, len(list))
	for i, v := range list {
		out[i] = tensorMetadata{v.Name, datatypeOf(v.Type), append([]int64{}, v.Shape...)}
	}
	return out
}

// failure is an answer that is an error: its status, its text, and when to try again.
type failure struct {
	status int
	text   string
	retry  time.Duration // 0: not at all
}

func (f *failure) Error() string { return f.text }

func fail(status int, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// later is a refusal of what may be tried again.
func later(status int, retry time.Duration, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...), max(retry, time.Second)}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := s.answer(w, r)
	status, h := http.StatusOK, w.Header()
	if err != nil {
		f := failureOf(err)
		status, a = f.status, f.reply()
		if f.retry > 0 {
			h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.retry.Seconds())), 10))
		}
	}
	h.Set("Content-Type", "application/json")
	if a.json > 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(headerLength, strconv.Itoa(a.json))
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(a.body) // the caller is gone: there is nobody to tell
}

// failureOf is what the caller is told of an error: of one that is not meant for it,
// nothing.
func failureOf(err error) *failure {
	var f *failure
	if !errors.As(err, &f) {
		return &failure{status: http.StatusInternalServerError, text: "internal error"}
	}
	return f
}

// reply is the protocol's error object.
func (f *failure) reply() reply {
	return reply{body: append(append([]byte(`{"error":`), quoted(f.text)...), '}')}
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) (reply, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "v2" {
		return reply{}, fail(http.StatusNotFound, "no such path; the protocol's paths begin with /v2")
	}
	switch rest := parts[1:]; {
	case len(rest) == 0:
		return get(w, r, s.describe())
	case len(rest) == 2 && rest[0] == "health" && rest[1] == "live":
		return get(w, r, map[string]bool{"live": true})
	case len(rest) == 2 && rest[0] == "health" && rest[1] == "ready":
		return get(w, r, map[string]bool{"ready": true})
	case len(rest) == 1 && rest[0] == "models":
		return get(w, r, s.index())
	case len(rest) >= 2 && rest[0] == "models":
		return s.model(w, r, rest[1], rest[2:])
	}
	return reply{}, fail(http.StatusNotFound, "no such path")
}

// describe is the server's metadata. The version is that of the build.
func (s *server) describe() any {
	v := "unknown"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v = b.Main.Version
	}
	return struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{"blindbox", v, []string{"binary_tensor_data"}}
}

// index names the models, in the order of their names.
func (s *server) index() any {
	type entry struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		State   string `json:"state"`
	}
	list := make([]entry, 0, len(s.models))
	for _, name := range slices.Sorted(maps.Keys(s.models)) {
		list = append(list, entry{name, version, "READY"})
	}
	return map[string]any{"models": list}
}

// model answers for one model; rest is the path after its name.
func (s *server) model(w http.ResponseWriter, r *http.Request, name string, rest []string) (reply, error) {
	m := s.models[name]
	if m == nil {
		return reply{}, fail(http.StatusNotFound, "no model of that name")
	}
	if len(rest) >= 2 && rest[0] == "versions" {
		if rest[1] != version {
			return reply{}, fail(http.StatusNotFound, "model %s has version %s only", m.Name, version)
		}
		rest = rest[2:]
	}
	switch {
	case len(rest) == 0:
		return get(w, r, json.RawMessage(m.metadata))
	case len(rest) == 1 && rest[0] == "ready":
		return get(w, r, struct {
			Name  string `json:"name"`
			Ready bool   `json:"ready"`
		}{m.Name, true})
	case len(rest) == 1 && rest[0] == "infer":
		return s.infer(w, r, m)
	}
	return reply{}, fail(http.StatusNotFound, "no such path")
}

// get answers GET and HEAD with an object.
func get(w http.ResponseWriter, r *http.Request, object any) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	body, err := json.Marshal(object)
	return reply{body: body}, err
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) error {
	for _, m := range methods {
		if r.Method == m {
			return nil
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return fail(http.StatusMethodNotAllowed, "method must be %s", strings.Join(methods, " or "))
}

// infer reads a request, runs the model, and writes the answer.
func (s *server) infer(w http.ResponseWriter, r *http.Request, m *served) (reply, error) {
	if err := allow(w, r, http.MethodPost); err != nil {
		return reply{}, err
	}
	select {
	case s.flight <- struct{}{}:
		defer func() { <-s.flight }()
	default:
		return reply{}, later(http.StatusTooManyRequests, 0, "too many requests at once; try again")
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.deadline)
	defer cancel()
	data, err := s.read(ctx, w, r)
	if err != nil {
		return reply{}, err
	}
	head, tensors, err := split(r.Header, data)
	if err != nil {
		return reply{}, err
	}
	q, err := parseRequest(head, tensors, m, s.elements)
	if err != nil {
		return reply{}, fail(http.StatusBadRequest, "%v", err)
	}
	share := s.budget.Share()
	defer share.Release() // not before the answer is written from the outputs
	out, err := s.run(ctx, m, q, r.Header.Get(CallerHeader), share)
	if err != nil {
		return reply{}, err
	}
	return encodeAnswer(m, q, out, s.elements, s.config.answer)
}

// read takes the whole body, within the limits of size and time.
func (s *server) read(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fail(http.StatusUnsupportedMediaType, "compressed requests are not supported")
	}
	tooLarge := fail(http.StatusRequestEntityTooLarge, "request is larger than %d bytes", s.body)
	if r.ContentLength > s.body {
		return nil, tooLarge
	}
	// A body that trickles in must not hold its place for ever. A writer without
	// a connection (a test's) has no deadline to set.
	control := http.NewResponseController(w)
	if end, ok := ctx.Deadline(); ok && control.SetReadDeadline(end) == nil {
		defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.body))
	var over *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.As(err, &slow) && slow.Timeout():
		return nil, fail(http.StatusRequestTimeout, "the request's body took longer than %v", s.deadline)
	case err != nil:
		return nil, fail(http.StatusBadRequest, "the request's body ended early")
	}
	return data, nil
}

// run waits for its turn and runs the model.
func (s *server) run(ctx context.Context, m *served, q *request, caller string, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	release, err := s.runs.Acquire(ctx, caller)
	if err != nil {
		return nil, notRun(err)
	}
	defer release()
	out, err := m.Session.RunWithin(ctx, q.inputs, share)
	var input *onnx.InputError
	var node *onnx.NodeError
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, fail(http.StatusGatewayTimeout, "the run took longer than %v", s.deadline)
	case errors.Is(err, onnx.ErrBusy):
		return nil, later(http.StatusServiceUnavailable, 0, "the runs of this moment take the memory that this one needs; try again")
	case errors.As(err, &input), errors.As(err, &node), errors.Is(err, onnx.ErrLimit):
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	return nil, err
}

// notRun says why a run did not begin.
func notRun(err error) error {
	var full *schedule.Overload
	if errors.As(err, &full) {
		return later(http.StatusTooManyRequests, full.RetryAfter, "%v", full)
	}
	return later(http.StatusServiceUnavailable, 0, "the caller left before the run began")
}
