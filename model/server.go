package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/bodies"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/pipeline"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Headers that the box sets, and takes from nobody. CallerHeader names who sends a
// request; without it all requests are one caller's. ModelHeader is the canonical name
// of the model that the policy has decided about, ModelIDHeader its id, which stands in
// the receipt: no other one answers.
const (
	CallerHeader  = "Blindbox-Caller"
	ModelHeader   = "Blindbox-Model"
	ModelIDHeader = "Blindbox-Model-Id"
)

// Server routes requests. It holds nothing of a request after answering it.
type Server struct {
	config
	store  *store.Store
	brings bool // callers may bring models
	runs   *schedule.Scheduler
	flight chan struct{} // one token per request from its body's first byte on
	budget *onnx.Budget  // what the tensors of all runs take together
	shared shared        // of all models
	spare  spare
	ctx    context.Context
	stop   context.CancelFunc
}

// Close ends uploads and loads and lets the models go. What is sealed is there when a
// server is made again with the same state.
func (s *Server) Close() error {
	s.stop()
	return s.store.Close()
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := s.answer(w, r)
	h := w.Header()
	if err != nil {
		f := failureOf(err)
		if a = f.reply(); isOpenAI(r) {
			a = f.openAI()
		}
		a.status = f.status
		if f.retry > 0 {
			h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.retry.Seconds())), 10))
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if a.status == http.StatusNoContent {
		w.WriteHeader(a.status)
		return
	}
	h.Set("Content-Type", cmp.Or(a.contentType, "application/json"))
	if a.json > 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(headerLength, strconv.Itoa(a.json))
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(cmp.Or(a.status, http.StatusOK))
	s.write(w, a)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (reply, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] == "v1" {
		return s.openAI(w, r, parts[1:])
	}
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
		return s.list(w, r, func(list []card) any { return map[string]any{"models": list} })
	case len(rest) >= 2 && rest[0] == "models":
		return s.model(w, r, rest[1], rest[2:])
	case len(rest) >= 1 && rest[0] == "repository":
		return s.repository(w, r, rest[1:])
	}
	return reply{}, fail(http.StatusNotFound, "no such path")
}

// describe is the server's metadata. The version is that of the build.
func (s *Server) describe() any {
	v := "unknown"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		v = b.Main.Version
	}
	return struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}{"blindbox", v, []string{"binary_tensor_data", "model_repository"}}
}

// list answers with the models that a caller may know of.
func (s *Server) list(w http.ResponseWriter, r *http.Request, as func([]card) any) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	list, err := s.index(r)
	if err != nil {
		return reply{}, err
	}
	return object(http.StatusOK, as(list), nil)
}

// model answers for one model; rest is the path after its name.
func (s *Server) model(w http.ResponseWriter, r *http.Request, name string, rest []string) (reply, error) {
	version := ""
	if len(rest) >= 2 && rest[0] == "versions" {
		version, rest = rest[1], rest[2:]
	}
	switch {
	case len(rest) == 0:
		return s.metadata(w, r, name, version)
	case len(rest) == 1 && rest[0] == "ready":
		return s.ready(w, r, name, version)
	case len(rest) == 1 && rest[0] == "infer":
		return s.infer(w, r, name, version)
	}
	return reply{}, fail(http.StatusNotFound, "no such path")
}

// metadata describes a model. One that is sealed is loaded for it.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request, name, version string) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.deadline)
	defer cancel()
	m, err := s.find(ctx, r, name, version)
	if err != nil {
		return reply{}, err
	}
	defer m.release()
	return object(http.StatusOK, m.describe(), nil)
}

// ready says whether a model will answer. One that is sealed will: it is loaded then.
func (s *Server) ready(w http.ResponseWriter, r *http.Request, name, version string) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	ref, err := reference(name, version)
	if err != nil {
		return reply{}, err
	}
	e, err := s.entry(r, ref)
	if err != nil {
		return reply{}, err
	}
	return object(http.StatusOK, struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{shownTo(e, r.Header.Get(CallerHeader)), e.State != store.Unusable}, nil)
}

// entry describes the model that a request is for, and about which it was decided.
func (s *Server) entry(r *http.Request, ref store.Reference) (store.Entry, error) {
	e, err := s.store.Get(r.Header.Get(CallerHeader), ref)
	if err != nil {
		return e, s.refusal(r.Context(), err)
	}
	return e, decided(r, e)
}

// get answers GET and HEAD with an object.
func get(w http.ResponseWriter, r *http.Request, what any) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	return object(http.StatusOK, what, nil)
}

// object is an answer of JSON, or err.
func object(status int, what any, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	body, err := json.Marshal(what)
	return reply{body: body, status: status}, err
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
func (s *Server) infer(w http.ResponseWriter, r *http.Request, name, version string) (reply, error) {
	return s.post(w, r, func(ctx context.Context) (reply, error) {
		m, err := s.find(ctx, r, name, version)
		if err != nil {
			return reply{}, err
		}
		defer m.release()
		data, free, err := s.read(ctx, w, r)
		defer free()
		if err != nil {
			return reply{}, err
		}
		head, tensors, err := split(r.Header, data)
		if err != nil {
			return reply{}, err
		}
		caller := r.Header.Get(CallerHeader)
		beside := s.work(ctx, caller)
		defer beside.end()
		q, err := parseRequest(head, tensors, m, s.elements, beside)
		if err != nil {
			return reply{}, orFail(err, http.StatusBadRequest, "%v", err)
		}
		beside.end()
		share := s.budget.Share()
		defer share.Release() // not before the answer is written from the outputs
		out, err := s.run(ctx, m, q, caller, share)
		if err != nil {
			return reply{}, err
		}
		return s.encode(m, q, out, beside)
	})
}

// post answers a POST within the deadline, if there are not too many of them.
func (s *Server) post(w http.ResponseWriter, r *http.Request, answer func(context.Context) (reply, error)) (reply, error) {
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
	return answer(ctx)
}

// read takes the whole body, within the limits of size and time. It counts until free is
// called.
func (s *Server) read(ctx context.Context, w http.ResponseWriter, r *http.Request) (body []byte, free func(), err error) {
	nothing := func() {}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, nothing, fail(http.StatusUnsupportedMediaType, "compressed requests are not supported")
	}
	tooLarge := fail(http.StatusRequestEntityTooLarge, "the request is larger than %s, limits.request of the policy; send less, such as a smaller picture, or have it raised", sizes.Exact(s.body))
	if r.ContentLength > s.body {
		return nil, nothing, tooLarge
	}
	// Who decided about a request may have had to read it.
	if all, ok := r.Body.(interface{ Bytes() []byte }); ok && int64(len(all.Bytes())) <= s.body {
		return all.Bytes(), nothing, nil
	}
	// A body that trickles in must not hold its place for ever. A writer without
	// a connection (a test's) has no deadline to set.
	control := http.NewResponseController(w)
	if end, ok := ctx.Deadline(); ok && control.SetReadDeadline(end) == nil {
		defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	}
	most := s.body
	if r.ContentLength >= 0 {
		most = min(most, r.ContentLength)
	}
	body, free, err = s.bodies.ReadAll(r.Header.Get(CallerHeader), http.MaxBytesReader(w, r.Body, s.body), most)
	var over *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &over):
		return nil, free, tooLarge
	case errors.Is(err, bodies.ErrFull):
		return nil, free, later(http.StatusTooManyRequests, 0, "%v; try again", err)
	case errors.As(err, &slow) && slow.Timeout():
		return nil, free, fail(http.StatusRequestTimeout, "the request's body took longer than %v", s.deadline)
	case err != nil:
		return nil, free, fail(http.StatusBadRequest, "the request's body ended early")
	}
	return body, free, nil
}

// run waits for its turn and runs the model.
func (s *Server) run(ctx context.Context, m *found, q *request, caller string, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	out, err := s.turns(ctx, m, q, caller, share)
	var waited *failure
	var input *onnx.InputError
	var item *pipeline.InputError
	var node *onnx.NodeError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &waited): // it did not begin
		return nil, err
	case ctx.Err() != nil:
		return nil, fail(http.StatusGatewayTimeout, "the run took longer than %v", s.deadline)
	case errors.Is(err, onnx.ErrBusy):
		return nil, later(http.StatusServiceUnavailable, 0, "the runs of this moment take the memory that this one needs; try again")
	case errors.As(err, &input), errors.As(err, &item), errors.As(err, &node), errors.Is(err, onnx.ErrLimit):
		return nil, fail(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "onnx: ")) // as other errors about inputs are said
	}
	return nil, err
}

// turns runs the model in a turn of its own, or in those that it shares with others.
// What a pipeline does before it asks its model is work of its own turn.
func (s *Server) turns(ctx context.Context, m *found, q *request, caller string, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	j := &joint{Batching: m.batching, runs: s.runs, budget: s.budget, loners: m.loners, shared: &s.shared, caller: caller}
	defer j.leave()
	_, bare := m.served.asked.(single)
	if m.batching.Size == 0 || !bare {
		if err := j.begin(ctx); err != nil {
			return nil, err
		}
	}
	if m.batching.Size == 0 {
		return m.run(ctx, q.inputs, share, atOnce)
	}
	return m.run(ctx, q.inputs, share, j.ask)
}
