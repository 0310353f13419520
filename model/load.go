package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/foreign"
	"github.com/blindbox/blindbox/model/pipeline"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
)

// file is a model's file that was read and not computed with: one ONNX model, or a
// bundle of several and what stands beside them.
type file struct {
	size     int64
	models   []part
	document *pipeline.Document // of a bundle; nil: the only model answers by itself
	beside   map[string][]byte
	batching Batching      // of the requests for it
	sums     []bundle.File // of a bundle's files
}

// part is an ONNX model of a file.
type part struct {
	name string // in the bundle
	size int64
	*onnx.Model
}

// headSize is how much of a file tells what it is.
const headSize = foreign.Head

// readFile reads a model's file as it comes. Weights are held once.
func readFile(in io.Reader, lim onnx.Limits) (*file, error) {
	counted := &counted{Reader: in}
	head, whole, err := peek(counted)
	if err != nil {
		return nil, err
	}
	f := &file{}
	if bundle.Is(head) {
		err = f.readBundle(bundle.NewReader(whole, bundle.DefaultLimits()), lim)
	} else {
		err = f.readModel(bundle.Entry{}, whole, lim)
	}
	if f.size = counted.n; len(f.models) == 1 && f.document == nil {
		f.models[0].size = f.size
	}
	return f, err
}

// peek reads the beginning of a file, and returns all of it for who reads it then.
func peek(in io.Reader) (head []byte, whole io.Reader, err error) {
	head = make([]byte, headSize)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	return head[:n], io.MultiReader(bytes.NewReader(head[:n]), in), nil
}

// readModel reads an ONNX model, of which the first bytes show whether it may be one.
func (f *file) readModel(e bundle.Entry, in io.Reader, lim onnx.Limits) error {
	head, whole, err := peek(in)
	if err != nil {
		return err
	}
	if other := foreign.Of(head); other != nil {
		return fmt.Errorf("%w. %s", other, other.Fix)
	}
	m, err := onnx.ParseFrom(whole, lim)
	if err != nil {
		return err
	}
	f.models = append(f.models, part{e.Name, e.Size, m})
	return nil
}

// readBundle reads pipeline.yaml, and then what it names and nothing else.
func (f *file) readBundle(r *bundle.Reader, lim onnx.Limits) error {
	if _, err := r.Next(); err != nil {
		return err
	}
	text, err := io.ReadAll(r) // bounded by the bundle's limits, as all files beside the models
	if err != nil {
		return err
	}
	if f.document, err = pipeline.Parse(text); err != nil {
		return err
	}
	f.beside = map[string][]byte{}
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			f.sums = r.Files()
			return f.complete()
		}
		if err != nil {
			return err
		}
		if err := f.readEntry(e, r, lim); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
}

func (f *file) readEntry(e bundle.Entry, in io.Reader, lim onnx.Limits) (err error) {
	switch {
	case slices.Contains(f.document.Models(), e.Name):
		return f.readModel(e, in, lim)
	case slices.Contains(f.document.Files(), e.Name):
		f.beside[e.Name], err = io.ReadAll(in)
		return err
	}
	return fmt.Errorf("is not named in %s: leave it out of the bundle", bundle.Manifest)
}

// complete refuses a bundle without a file that its pipeline names.
func (f *file) complete() error {
	for _, name := range slices.Concat(f.document.Models(), f.document.Files()) {
		if !slices.ContainsFunc(f.sums, func(s bundle.File) bool { return s.Name == name }) {
			return fmt.Errorf("%s names %s, which is not in the bundle", bundle.Manifest, name)
		}
	}
	return nil
}

// serve makes what answers of the file, which gives its models away. It takes a
// processor for itself, and from trials what a trial of a pipeline needs.
func (f *file) serve(ctx context.Context, trials *onnx.Budget, opts ...onnx.Option) (*served, error) {
	sessions, bytes := map[string]*onnx.Session{}, int64(0)
	if f.batching.Size > 0 {
		opts = append(opts, onnx.WithRows())
	}
	for _, m := range f.models {
		s, err := onnx.NewSessionContext(ctx, m.Model, opts...)
		if err != nil && m.name != "" {
			err = fmt.Errorf("%s: %w", m.name, err)
		}
		if err != nil {
			return nil, err
		}
		sessions[m.name] = s
		// A file of many small nodes takes more than its weights say.
		bytes += max(s.Weights(), m.size)
	}
	if err := f.batching.batchable(ctx, sessions); err != nil {
		return nil, err
	}
	m, err := f.serveSessions(ctx, trials, sessions, bytes)
	if err == nil {
		m.batching, m.loners = f.batching, &loners{}
	}
	return m, err
}

func (f *file) serveSessions(ctx context.Context, trials *onnx.Budget, sessions map[string]*onnx.Session, bytes int64) (*served, error) {
	if f.document == nil {
		return newServed(single{sessions[""]}, "onnx_onnxv1", bytes), nil
	}
	return f.servePipeline(ctx, trials, sessions, bytes)
}

func (f *file) servePipeline(ctx context.Context, trials *onnx.Budget, sessions map[string]*onnx.Session, bytes int64) (*served, error) {
	models := map[string]pipeline.Model{}
	for name, s := range sessions {
		models[name] = pipeline.Model{Inputs: s.Inputs(), Outputs: s.Outputs()}
	}
	take := func(bytes int64) error { return store.Hold(ctx, bytes) }
	p, err := pipeline.New(ctx, f.document, models, f.beside, take)
	if err != nil {
		return nil, err
	}
	answers := &piped{p, sessions}
	if err := answers.try(ctx, trials); err != nil {
		return nil, err
	}
	m := newServed(answers, "blindbox_pipeline", bytes+p.Bytes())
	m.files = f.sums
	return m, nil
}

// loader makes a model of a file for the store.
type loader struct {
	limits onnx.Limits
	runs   *schedule.Scheduler
	// trials is the memory of all trials of models that callers bring. It is none of the
	// runs': who brings models that are tried for long does not keep others from theirs.
	trials *onnx.Budget
}

// unfused is the option of a model that was uploaded with optimize=false.
const unfused = "optimize=false"

// Load implements [store.Loader]. It reads as fast as the file comes, and waits for its
// turn before it lays out the weights, which takes a processor for itself.
func (l *loader) Load(ctx context.Context, options string, r io.Reader) (store.Ready, error) {
	opts, batching, err := optionsOf(options)
	if err != nil {
		return nil, err
	}
	f, err := readFile(r, l.limits)
	if err != nil {
		return nil, err
	}
	f.batching = batching
	resume := store.Pause(ctx) // what others load is not this model's time
	release, err := l.runs.Background(ctx, store.Owner(ctx))
	resume()
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := f.serve(ctx, l.trials, opts...)
	if err != nil {
		return nil, err // and not a nil that is a Ready
	}
	return m, nil
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
