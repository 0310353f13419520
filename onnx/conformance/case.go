package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// What one case may take. The cases are small: a slow one is a fault.
const (
	caseTime   = 20 * time.Second
	caseMemory = 1 << 30
	caseFile   = 64 << 20
)

// testCase is a model with one or more sets of inputs and expected outputs.
type testCase struct {
	name  string
	dir   string
	about glance
	err   error // nil once it has passed
}

var errTimeout = errors.New("does not end in time")

// run runs the cases that the pattern selects, o.jobs at a time.
func (s *suite) run(o options) error {
	for i := range s.groups {
		g := &s.groups[i]
		if o.pattern != nil {
			g.keep(func(c *testCase) bool { return o.pattern.MatchString(s.prefix + g.name + "/" + c.name) })
		}
		var wait sync.WaitGroup
		slots := make(chan struct{}, o.jobs)
		for _, c := range g.cases {
			slots <- struct{}{}
			wait.Go(func() {
				c.err = c.run(s.files, o)
				<-slots
			})
		}
		wait.Wait()
	}
	return nil
}

func (g *group) keep(want func(*testCase) bool) {
	var kept []*testCase
	for _, c := range g.cases {
		if want(c) {
			kept = append(kept, c)
		}
	}
	g.cases = kept
}

// run runs a case. One that neither ends nor listens is left behind.
func (c *testCase) run(files fs.FS, o options) error {
	ctx, cancel := context.WithTimeout(context.Background(), caseTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.inTime(ctx, files, o) }()
	select {
	case err := <-done:
		return err
	case <-time.After(caseTime + caseTime/2):
		return errTimeout
	}
}

func (c *testCase) inTime(ctx context.Context, files fs.FS, o options) error {
	model, err := readFile(files, c.dir+"/model.onnx")
	if err != nil {
		return err
	}
	if c.about, err = look(model); err != nil {
		return err
	}
	parsed, err := onnx.Parse(model, onnx.DefaultLimits())
	if err != nil {
		return err
	}
	session, err := onnx.NewSession(parsed, o.session()...)
	if err != nil {
		return err
	}
	sets, err := fs.Glob(files, c.dir+"/test_data_set_*")
	if err != nil || len(sets) == 0 {
		return errors.Join(err, errors.New("has no test data"))
	}
	for _, set := range sets {
		if err := c.set(ctx, session, files, set); err != nil {
			return err
		}
	}
	return nil
}

// set runs the model on one set of inputs and compares its outputs.
func (c *testCase) set(ctx context.Context, session *onnx.Session, files fs.FS, dir string) error {
	given, err := fs.Glob(files, dir+"/input_*.pb")
	if err != nil {
		return err
	}
	inputs, err := readValues(files, dir+"/input_", c.about.fed(len(given)), len(given))
	if err != nil {
		return err
	}
	expected, err := fs.Glob(files, dir+"/output_*.pb")
	if err != nil {
		return err
	}
	want, err := readValues(files, dir+"/output_", c.about.outputs, len(expected))
	if err != nil {
		return err
	}
	got, err := session.RunWithin(ctx, inputs, onnx.NewBudget(caseMemory).Share())
	if err != nil {
		return err
	}
	for _, d := range c.about.outputs[:len(expected)] {
		if err := c.judge(got[d.name], want[d.name]); err != nil {
			return fmt.Errorf("output %s %w", d.name, err)
		}
	}
	return nil
}

// judge compares a result with what is expected. If the operator is random by
// definition, type and shape are all that can be expected.
func (c *testCase) judge(got, want *tensor.Tensor) error {
	if c.random() && got != nil && got.Check() == nil {
		got, want = hollow(got), hollow(want)
	}
	return compare(got, want)
}

// random says whether the values that a case expects are those of one run of the
// authors' generator, which no specification describes. (Dropout is not among
// them: its cases are those of a generator that the engine has.)
func (c *testCase) random() bool {
	for _, op := range c.about.ops {
		switch op {
		case "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike":
			return true
		}
	}
	return false
}

// hollow is a tensor of the same type and shape whose elements are zero.
func hollow(t *tensor.Tensor) *tensor.Tensor {
	if t == nil || !t.Type.Element() {
		return t
	}
	zero, err := tensor.New(t.Type, t.Shape)
	if err != nil {
		return t
	}
	return zero
}

// readValues reads the first n of the declared values from files with a number.
func readValues(files fs.FS, prefix string, list []declared, n int) (map[string]*tensor.Tensor, error) {
	if n > len(list) {
		return nil, fmt.Errorf("%d files %s*, the model has %d values", n, prefix, len(list))
	}
	values := make(map[string]*tensor.Tensor, n)
	for i, d := range list[:n] {
		name := fmt.Sprintf("%s%d.pb", prefix, i)
		data, err := readFile(files, name)
		if err == nil {
			values[d.name], err = readValue(data, d.types)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return values, nil
}

// readFile reads a file of a size that a case may have.
func readFile(files fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(files, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > caseFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", name, info.Size(), caseFile)
	}
	return fs.ReadFile(files, name)
}

// reason is why a case is not passed, in one line.
func (c *testCase) reason() string {
	if c.err == nil {
		return ""
	}
	s := strings.TrimPrefix(c.err.Error(), "onnx: ")
	if line, _, more := strings.Cut(s, "\n"); more {
		s = line
	}
	const most = 160
	if len(s) > most {
		s = string(bytes.ToValidUTF8([]byte(s[:most]), nil)) + "..."
	}
	return s
}
