// Package model answers inference requests for the models in the box: the Open
// Inference Protocol, version 2, over HTTP with JSON tensors.
//
// It stands inside the box, behind the attested channel and the box's policy.
// Requests may be hostile: sizes, shapes and numbers are checked before memory
// is taken, runs are bounded in number and time, and nothing of a request or an
// answer is ever logged.
package model

import (
	"errors"
	"net/http"
	"time"

	"github.com/blindbox/blindbox/onnx"
)

// Loaded is a model that is ready to answer.
type Loaded struct {
	Name    string        // the name in the URL: letters, digits, '.', '_', '-'
	Digest  [32]byte      // SHA-256 of the model file
	Session *onnx.Session // required
	Labels  []string      // names of the classes, if the model is a classifier; optional
}

// Load parses and checks an ONNX file under the default limits.
func Load(name string, onnxBytes []byte) (Loaded, error) {
	return Loaded{}, errors.New("model: not built yet")
}

// Option changes one bound of the server.
type Option func(*config)

type config struct {
	body        int64
	elements    int64
	concurrency int
	deadline    time.Duration
}

// WithBodyLimit bounds a request's body in bytes. Default 16 MiB.
func WithBodyLimit(bytes int64) Option { return func(c *config) { c.body = bytes } }

// WithElementLimit bounds the elements of all input tensors of one request.
// Default 4 Mi.
func WithElementLimit(n int64) Option { return func(c *config) { c.elements = n } }

// WithConcurrency bounds the runs at the same time. Default: one per CPU.
func WithConcurrency(runs int) Option { return func(c *config) { c.concurrency = runs } }

// WithDeadline bounds the time of one run, waiting included. Default 30 s.
func WithDeadline(d time.Duration) Option { return func(c *config) { c.deadline = d } }

// NewServer returns a handler for all paths under /v2. It refuses two models of
// one name, a model without a session, and a bound that is not positive.
func NewServer(models []Loaded, opts ...Option) (http.Handler, error) {
	return nil, errors.New("model: not built yet")
}
