package mutate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/internal/mutate"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// limits keep one case short: what is over them must be refused before it is taken.
func limits() onnx.Limits {
	lim := onnx.DefaultLimits()
	lim.Nodes, lim.Weights, lim.Elements, lim.RunBytes, lim.RunSteps = 1000, 1<<20, 1<<15, 1<<22, 1<<6
	return lim
}

// slack is what tensors cost beside their elements, and what operators take on their way, in
// such a run, at most.
const slack = 1 << 19

// patience ends a case that neither ends nor is wrong: a few products of the largest
// allowed sizes can take that long, and what they give is then not looked at.
const patience = 10 * time.Second

// trial is one model that is taken through everything.
type trial struct {
	*testing.T
	*mutate.Choice
	model  []byte
	random bool // it has operators that give something else each time
	picky  bool // it has operators that tell apart what rounding makes equal
	stage  string
}

func newTrial(t *testing.T, model []byte, c *mutate.Choice) *trial {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return bytes.Contains(model, []byte(name)) })
	}
	return &trial{T: t, Choice: c, model: model, stage: "refused while reading",
		random: has("Random", "Bernoulli", "Multinomial", "Dropout"),
		picky:  has("ArgM", "MaxPool", "TopK", "NonMaxSuppression", "Unique", "Hardmax", "BeamSearch")}
}

// answer holds every answer to the rules: a value or an error and never both, a message
// that says where it is from and is not long, no panic inside, and nothing that was
// inferred and then came out otherwise.
func (t *trial) answer(doing string, none bool, err error) {
	t.Helper()
	if none != (err != nil) {
		t.Fatalf("%s: a value and an error, or neither: %v", doing, err)
	}
	if err == nil {
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "onnx: ") || strings.Contains(text, "internal error") || len(text) > 20_000 {
		t.Fatalf("%s: message of %d bytes: %.500s", doing, len(text), text)
	}
}

// session makes one; a model makes one session, so the file is read again for each.
func (t *trial) session(opts ...onnx.Option) (*onnx.Session, error) {
	t.Helper()
	m, err := onnx.Parse(t.model, limits())
	t.answer("parsing", m == nil, err)
	if err != nil {
		return nil, err
	}
	s, err := onnx.NewSession(m, opts...)
	t.answer("loading", s == nil, err)
	return s, err
}

// streamed holds the reader of streams to that of bytes.
func (t *trial) streamed(err error) {
	t.Helper()
	m, again := onnx.ParseFrom(iotest.HalfReader(bytes.NewReader(t.model)), limits())
	t.answer("parsing a stream", m == nil, again)
	if (err == nil) != (again == nil) {
		t.Fatalf("from bytes: %v; from a stream: %v", err, again)
	}
}

// exercise loads the model, plans it, and runs it: again, in another way, in as much
// memory as its plan says, and until it is stopped.
func (t *trial) exercise(recorded [][]byte) {
	t.Helper()
	m, err := onnx.Parse(t.model, limits())
	t.answer("parsing", m == nil, err)
	if t.One(4) {
		t.streamed(err)
	}
	if err != nil {
		return
	}
	t.stage = "refused while loading"
	s, err := onnx.NewSession(m, onnx.WithPoison())
	t.answer("loading", s == nil, err)
	other, how := t.another(err)
	if err != nil {
		return
	}
	t.stage = "failed while running"
	give := &giver{Choice: t.Choice, recorded: recorded}
	in := give.values(s)
	out, err := t.run(s, in)
	if stopped(err) {
		return
	}
	if err == nil {
		t.stage = "ran"
	}
	t.planned(s, in, out, err)
	t.again(s, in, out, err)
	t.otherwise(other, how, in, out, err)
	t.stop(s, in, out)
}

func stopped(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// run runs with time enough for everything but what never ends.
func (t *trial) run(s *onnx.Session, in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.Run(ctx, in)
	t.answer("running", out == nil, err)
	if err != nil {
		t.promised(err)
		return nil, err
	}
	for _, v := range s.Outputs() {
		if bad := out[v.Name].Check(); bad != nil {
			t.Fatalf("output %s: %v", v.Name, bad)
		}
	}
	return out, nil
}

// promised refuses errors of nodes that say that a result is not what was inferred of
// it: either inferring or running is wrong.
func (t *trial) promised(err error) {
	t.Helper()
	var at *onnx.NodeError
	if errors.As(err, &at) && broken().MatchString(err.Error()) {
		t.Fatalf("inferred otherwise: %v", err)
	}
}

func broken() *regexp.Regexp { return regexp.MustCompile(`output \d+: declared `) }

// another makes a session that must give the same, and says how it differs.
func (t *trial) another(first error) (s *onnx.Session, how string) {
	t.Helper()
	opts := []onnx.Option{onnx.WithoutFusion()}
	switch how = mutate.Of(t.Choice, []string{"without fusion", "without fusion", "threads", "portable"}); how {
	case "threads":
		opts = []onnx.Option{onnx.WithThreads(3)}
	case "portable":
		opts = []onnx.Option{onnx.WithInstructions(onnx.Instructions()[0])}
	}
	s, err := t.session(opts...)
	if (first == nil) != (err == nil) {
		t.Fatalf("loading: %v; %s: %v", first, how, err)
	}
	return s, how
}

// planned: a run that its plan refuses fails, and one that it knows takes no more.
func (t *trial) planned(s *onnx.Session, in, out map[string]*tensor.Tensor, err error) {
	t.Helper()
	shapes, given := map[string][]int64{}, int64(slack)
	for name, v := range in {
		if v == nil {
			return
		}
		shapes[name] = v.Shape
		given += v.Bytes()
	}
	m, planErr := s.Plan(shapes)
	if planErr != nil {
		t.answer("planning", true, planErr)
		if err == nil {
			t.Fatalf("runs, but: %v", planErr)
		}
		return
	}
	if err != nil || !m.Exact {
		return
	}
	total := given + m.Work + m.Outputs
	budget := onnx.NewBudget(total)
	share := budget.Share()
	again, err := s.RunWithin(t.Context(), in, share)
	if err != nil {
		t.Fatalf("planned to take %+v: %v", m, err)
	}
	t.equal("in its memory", again, out, !t.random)
	t.freed("after a run", budget, total-m.Outputs-slack)
	share.Release()
	t.freed("in the end", budget, total)
}

// freed says that so much of a budget can be had.
func (t *trial) freed(when string, b *onnx.Budget, bytes int64) {
	t.Helper()
	share := b.Share()
	defer share.Release()
	if err := share.Take(bytes); err != nil {
		t.Fatalf("%s: %d bytes: %v", when, bytes, err)
	}
}

func (t *trial) equal(how string, a, b map[string]*tensor.Tensor, exact bool) {
	t.Helper()
	for name := range b {
		var err error
		switch {
		case exact:
			err = same(a[name], b[name])
		case !t.random && !t.picky && !t.Huge: // sums of huge numbers depend on their order
			err = near(a[name], b[name])
		}
		if err != nil {
			t.Fatalf("%s: output %q: %v", how, name, err)
		}
	}
}

// again: the same inputs give the same bits or the same error, whatever is left in memory.
func (t *trial) again(s *onnx.Session, in, out map[string]*tensor.Tensor, err error) {
	t.Helper()
	again, secondErr := t.run(s, in)
	if stopped(secondErr) {
		return
	}
	if fmt.Sprint(err) != fmt.Sprint(secondErr) && !t.random {
		t.Fatalf("first %v, then %v", err, secondErr)
	}
	if err == nil && secondErr == nil {
		t.equal("run again", again, out, true && !t.random)
	}
}

// otherwise: operators one by one, threads or other instructions change no result, but
// for rounding.
func (t *trial) otherwise(s *onnx.Session, how string, in, out map[string]*tensor.Tensor, err error) {
	t.Helper()
	got, otherErr := t.run(s, in)
	if stopped(otherErr) || errors.Is(err, onnx.ErrLimit) || errors.Is(otherErr, onnx.ErrLimit) {
		return // what is fused takes other memory
	}
	if (err == nil) != (otherErr == nil) {
		t.Fatalf("%v; %s: %v", err, how, otherErr)
	}
	if err == nil {
		t.equal(how, out, got, how == "threads" && !t.random)
	}
}

// countdown is a context that ends when it has been asked so often: a moment that is
// the same each time.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// stop ends the run somewhere on its way: the error is the context's, the budget has
// everything back, and the next run is as good as the first.
func (t *trial) stop(s *onnx.Session, in, out map[string]*tensor.Tensor) {
	t.Helper()
	const budget = 1 << 23
	ctx := &countdown{Context: context.Background()}
	ctx.left.Store(math.MaxInt64)
	b := onnx.NewBudget(budget)
	share := b.Share()
	if _, err := s.RunWithin(ctx, in, share); err != nil && out != nil {
		t.Fatalf("within a budget: %v", err)
	} else if err != nil {
		t.freed("after the error "+err.Error(), b, budget)
		return
	} else if out == nil {
		t.Fatal("went wrong before and does not within a budget")
	}
	share.Release()
	polls := math.MaxInt64 - ctx.left.Load()
	if polls == 0 {
		return
	}
	ctx.left.Store(int64(t.Below(int(min(polls, 1<<16)))))
	if _, err := s.RunWithin(ctx, in, share); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped after %d of %d looks at the context: %v", ctx.left.Load(), polls, err)
	}
	t.freed("after it was stopped", b, budget)
	again, err := t.run(s, in)
	if err != nil && !stopped(err) {
		t.Fatalf("after it was stopped: %v", err)
	}
	if err == nil {
		t.equal("after it was stopped", again, out, !t.random)
	}
}
