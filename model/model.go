// Package model answers inference requests for the models in the box: the Open
// Inference Protocol, version 2, over HTTP with JSON tensors, and OpenAI's API for
// embeddings and transcriptions (openai.go).
//
// It stands inside the box, behind the attested channel and the box's policy.
// Requests may be hostile: sizes, shapes and numbers are checked before memory
// is taken, runs are bounded in number and time and given out fair by caller, see
// package schedule, and nothing of a request or an answer is ever logged.
//
// The models are those that the box brings, and where callers may bring models, theirs:
// package store has whose they are and where their bytes lie, and this package how
// they are uploaded, resumed, listed and deleted over HTTP (repository.go).
//
// A model is an ONNX file, or a bundle (package bundle) of ONNX files with a pipeline
// (package pipeline) from what people have to what they want; load.go tells which. Both
// are asked alike.
//
// Source: Open Inference Protocol (kserve/open-inference-protocol), REST, and the
// binary tensor data extension of Triton (server/docs/protocol); OpenAI's API reference
// (openai/openai-openapi).
package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/blindbox/blindbox/internal/bodies"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
)

// Loaded is a model that is ready to answer.
type Loaded struct {
	Name   string   // the name in the URL: letters, digits, '.', '_', '-'
	Digest [32]byte // SHA-256 of the model file
	Size   int64    // of the file in bytes
	Labels []string // names of the classes, if the model is a classifier; optional

	ready *served
}

// Inputs lists what a caller sends to the model.
func (l *Loaded) Inputs() []onnx.ValueInfo { return slices.Clone(l.ready.inputs) }

// Outputs lists what a caller gets.
func (l *Loaded) Outputs() []onnx.ValueInfo { return slices.Clone(l.ready.outputs) }

// Files lists the files of a bundle; nil for an ONNX model.
func (l *Loaded) Files() []bundle.File { return slices.Clone(l.ready.files) }

// Memory is how many bytes the model holds.
func (l *Loaded) Memory() int64 { return l.ready.Bytes() }

// loadTime is how long a model that was read may take to become a session: one of 1 GB
// takes some seconds.
const loadTime = 2 * time.Minute

// Load parses and checks an ONNX file, or a bundle with a pipeline, under the default
// limits.
func Load(name string, data []byte) (Loaded, error) {
	return LoadFrom(name, [32]byte{}, bytes.NewReader(data))
}

// LoadFrom is Load of a stream, which is hashed while it is read and never held whole.
// If it has another digest than the expected one nothing is made of it; a zero digest
// expects nothing.
func LoadFrom(name string, expected [32]byte, in io.Reader) (Loaded, error) {
	return LoadBatched(name, expected, in, Batching{})
}

// LoadBatched is LoadFrom of a model whose requests may share runs. It refuses one that
// is not known to treat each row of its inputs by itself.
func LoadBatched(name string, expected [32]byte, in io.Reader, b Batching) (Loaded, error) {
	if err := checkName(name); err != nil {
		return Loaded{}, err
	}
	sum := sha256.New()
	tee := io.TeeReader(in, sum)
	f, err := readFile(tee, onnx.DefaultLimits())
	if err != nil && expected == [32]byte{} {
		return Loaded{}, fmt.Errorf("model: %s: %w", name, err)
	}
	if err != nil { // what cannot be parsed may be another file, which is the better reason
		_, _ = io.Copy(io.Discard, io.LimitReader(tee, maxRest))
	}
	digest := [32]byte(sum.Sum(nil))
	if expected != [32]byte{} && digest != expected {
		return Loaded{}, fmt.Errorf("model: %s has the digest sha256:%x, expected sha256:%x", name, digest, expected)
	}
	if err != nil {
		return Loaded{}, fmt.Errorf("model: %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	f.batching = b
	ready, err := f.serve(ctx, onnx.NewBudget(defaultMemory))
	if err != nil {
		return Loaded{}, fmt.Errorf("model: %s: %w", name, err)
	}
	return Loaded{Name: name, Digest: digest, Size: f.size, ready: ready}, nil
}

// maxRest is how much of a file is read for its digest alone.
const maxRest = 4 << 30

// checkName keeps names to what stands in a URL's path as it is.
func checkName(name string) error {
	ok, err := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`, name)
	if err != nil || !ok {
		return fmt.Errorf("model: name %.140q, must be up to 128 letters, digits, '.', '_', '-', the first a letter or digit", name)
	}
	return nil
}

// Option changes one bound of the server.
type Option func(*config)

// config holds the server's bounds; all must be positive.
type config struct {
	body        int64
	elements    int64
	answer      int64
	memory      int64
	concurrency int
	inFlight    int
	deadline    time.Duration
	limits      onnx.Limits
	brought     *store.Config // nil: callers bring no models
	shows       func(list *http.Request, model string) bool
	bodies      *bodies.Room
}

// WithBodyLimit bounds a request's body in bytes. Default 16 MiB.
func WithBodyLimit(bytes int64) Option { return func(c *config) { c.body = bytes } }

// WithBodies is the memory that the bodies of all requests have together. Default: a room
// for eight of the largest, or 64 MiB, of which one caller has half.
func WithBodies(room *bodies.Room) Option { return func(c *config) { c.bodies = room } }

// WithElementLimit bounds the elements of all input tensors of one request, and
// of all output tensors of one answer. Default 4 Mi.
func WithElementLimit(n int64) Option { return func(c *config) { c.elements = n } }

// WithAnswerLimit bounds an answer in bytes. Default 64 MiB.
func WithAnswerLimit(bytes int64) Option { return func(c *config) { c.answer = bytes } }

// WithMemory bounds the tensors of all runs together, inputs and outputs
// included, in bytes. A run that would need more while others run is told to try
// again. Default 1 GiB. The trials of models that callers bring have a quarter as
// much, beside it. The models' weights are not counted: their files bound
// them.
func WithMemory(bytes int64) Option { return func(c *config) { c.memory = bytes } }

// WithConcurrency bounds the runs at the same time. Default: one per CPU.
func WithConcurrency(runs int) Option { return func(c *config) { c.concurrency = runs } }

// WithInFlight bounds the requests that are read, waiting or running at the same
// time; one more is turned away. Default: 16, or four per run if that is more.
func WithInFlight(requests int) Option { return func(c *config) { c.inFlight = requests } }

// WithDeadline bounds the time of one request from the first byte of its body to
// the end of the run, waiting included. Default 30 s.
func WithDeadline(d time.Duration) Option { return func(c *config) { c.deadline = d } }

// trialShare is what part of that, beside it, the trials of models have that callers bring.
const trialShare = 4

// defaultMemory is of all runs together, in bytes.
const defaultMemory = 1 << 30

// WithShown says which models a list has in it, by their canonical names, for the caller
// who asks for it. Default: all that the caller may know of.
func WithShown(shows func(list *http.Request, model string) bool) Option {
	return func(c *config) { c.shows = shows }
}

func newConfig(opts []Option) (config, error) {
	c := config{body: 16 << 20, elements: 4 << 20, answer: 64 << 20, memory: defaultMemory, concurrency: runtime.GOMAXPROCS(0), deadline: 30 * time.Second, limits: onnx.DefaultLimits()}
	c.shows = func(*http.Request, string) bool { return true }
	for _, o := range opts {
		o(&c)
	}
	if c.inFlight == 0 {
		c.inFlight = max(16, 4*c.concurrency)
	}
	if c.bodies == nil {
		c.bodies = bodies.New(c.body, false)
	}
	var errs []error
	for _, b := range []struct {
		name  string
		value int64
	}{
		{"body limit", c.body}, {"element limit", c.elements}, {"answer limit", c.answer}, {"memory", c.memory},
		{"concurrency", int64(c.concurrency)}, {"requests in flight", int64(c.inFlight)}, {"deadline", int64(c.deadline)},
	} {
		if b.value <= 0 {
			errs = append(errs, fmt.Errorf("model: %s is %d, must be positive", b.name, b.value))
		}
	}
	return c, errors.Join(errs...)
}

// WithStore lets callers bring models, within the bounds of c. Loader and Startup are
// the server's own.
func WithStore(c store.Config) Option { return func(cfg *config) { cfg.brought = &c } }

// WithLimits bounds what one model file may hold and one run of it may take. Default
// [onnx.DefaultLimits].
func WithLimits(l onnx.Limits) Option { return func(c *config) { c.limits = l } }

// NewServer returns what answers for all paths under /v2 and those of OpenAI's API. It
// refuses two models of one name, a model that was not loaded, and a bound that is not
// positive.
func NewServer(models []Loaded, opts ...Option) (*Server, error) {
	c, err := newConfig(opts)
	errs := []error{err}
	var startup []store.Startup
	names := map[string]bool{}
	for _, m := range models {
		if names[m.Name] {
			errs = append(errs, fmt.Errorf("model: two models are named %q", m.Name))
		}
		names[m.Name] = true
		one, err := m.startup()
		startup, errs = append(startup, one), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Server{config: c, brings: c.brought != nil, budget: onnx.NewBudget(c.memory), flight: make(chan struct{}, c.inFlight)}
	// Requests are bounded by their places, and loads by each owner's quota: models that
	// wait to be loaded take no request's place in the queue.
	if s.runs, err = schedule.New(c.concurrency, schedule.Limits{Queue: math.MaxInt32, Caller: math.MaxInt32}); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	bounds := store.Config{Memory: 1, OwnerBytes: 1, OwnerModels: 1, OwnerLoads: 1, LoadTime: 1} // nobody brings anything
	if c.brought != nil {
		bounds = *c.brought
	}
	bounds.Loader, bounds.Startup, bounds.Turn = &loader{c.limits, s.runs, onnx.NewBudget(max(1, c.memory/trialShare))}, startup, s.turn
	if s.store, err = store.Open(bounds); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	go s.store.Warm(s.ctx)
	return s, nil
}

// turn is a run for what an upload or the reading of a sealed file takes of a processor.
// A box with a single run gives none away while queries wait, and an upload that waits
// for that could wait for ever: there it takes its share from the system.
func (s *Server) turn(ctx context.Context, owner string) (release func(), alone bool, err error) {
	if s.concurrency == 1 {
		return func() {}, false, nil
	}
	if release, err = s.runs.Background(ctx, owner); err != nil {
		return nil, false, err
	}
	now := s.runs.Stats()
	return release, now.Running+now.Waiting == 0, nil
}

// startup is a loaded model as the store has those that the box brings.
func (m *Loaded) startup() (store.Startup, error) {
	if err := checkName(m.Name); err != nil {
		return store.Startup{}, err
	}
	if m.ready == nil {
		return store.Startup{}, fmt.Errorf("model: %s was not loaded", m.Name)
	}
	if m.Digest == [32]byte{} {
		return store.Startup{}, fmt.Errorf("model: %s has no digest", m.Name)
	}
	ready := *m.ready
	ready.labels = m.Labels
	return store.Startup{Name: m.Name, Digest: store.Digest(m.Digest), Size: m.Size, Options: ready.batching.option(), Ready: &ready}, nil
}
