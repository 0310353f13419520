package model

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blindbox/blindbox/internal/batches"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Batching is how requests for a model share runs. The zero Batching has none do that.
type Batching struct {
	// Size is how many rows one run may have, of all of its requests together, within the
	// bounds of package internal/batches: 2 to 64.
	Size int
	// Wait is how long a request that could run waits for others, at most a second; 0
	// takes with it those that wait already.
	Wait time.Duration
}

func (b Batching) check() error {
	if b != (Batching{}) && (b.Size < batches.MinRows || b.Size > batches.MaxRows || b.Wait < 0 || b.Wait > batches.MaxWait) {
		return fmt.Errorf("batches of %d rows that wait %v, expected %d to %d and at most %v", b.Size, b.Wait, batches.MinRows, batches.MaxRows, batches.MaxWait)
	}
	return nil
}

// batchable refuses a model of which some requests would change the answers to others.
func (b Batching) batchable(ctx context.Context, sessions map[string]*onnx.Session) error {
	if err := b.check(); err != nil || b.Size == 0 {
		return err
	}
	var full error
	hold := func(bytes int64) error {
		full = store.Hold(ctx, bytes)
		return full
	}
	for name, s := range sessions {
		if err := s.Batches(ctx, hold); err != nil {
			if ctx.Err() != nil || full != nil {
				return err
			}
			return fmt.Errorf("%srequests for it cannot run together: %w; leave batch out", prefix(name), err)
		}
	}
	return nil
}

func prefix(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// batchOption is how a model's options have that its requests run together.
const batchOption = "batch="

// option is how a model's options have b; "" if it has no requests share runs.
func (b Batching) option() string {
	if b.Size == 0 {
		return ""
	}
	return batchOption + strconv.Itoa(b.Size)
}

// optionsOf reads the options of a model that was uploaded: none, or what was said of
// them, in this order.
func optionsOf(text string) (opts []onnx.Option, b Batching, err error) {
	rest := text
	if rest == unfused || strings.HasPrefix(rest, unfused+",") {
		opts, rest = append(opts, onnx.WithoutFusion()), strings.TrimPrefix(strings.TrimPrefix(rest, unfused), ",")
	}
	if size, ok := strings.CutPrefix(rest, batchOption); ok {
		if b.Size, err = strconv.Atoi(size); err == nil && strconv.Itoa(b.Size) == size && b.Size != 0 && b.check() == nil {
			return opts, b, nil
		}
	} else if rest == "" && !strings.HasSuffix(text, ",") {
		return opts, b, nil
	}
	return nil, Batching{}, fmt.Errorf("model: the options %.40q, expected none, or %q and %q and a number from %d to %d, with a comma between them", text, unfused, batchOption, batches.MinRows, batches.MaxRows)
}

// batchSize is the size in the options of a model that was uploaded; 0 without one.
func batchSize(options string) int {
	_, b, err := optionsOf(options)
	if err != nil {
		return 0
	}
	return b.Size
}

// joint is a request at a model whose requests may share runs. It has one turn at most
// at any time.
type joint struct {
	Batching
	runs    *schedule.Scheduler
	budget  *onnx.Budget
	loners  *loners
	shared  *shared
	caller  string
	release func() // of the turn that it has; nil: none
}

// leave ends the turn that the request has.
func (j *joint) leave() {
	if j.release != nil {
		j.release()
		j.release = nil
	}
}

// begin waits for a turn of its own.
func (j *joint) begin(ctx context.Context) (err error) {
	if j.release, err = j.runs.Acquire(ctx, j.caller); err != nil {
		return notRun(err)
	}
	return nil
}

// ask runs a session, together with others who ask the same, or alone. It ends the turn
// that the request has and leaves it with that of the run, for what follows.
func (j *joint) ask(ctx context.Context, s *onnx.Session, in map[string]*tensor.Tensor, share *onnx.Share) (map[string]*tensor.Tensor, error) {
	j.leave()
	m, part := j.part(ctx, s, in)
	if m == nil {
		if err := j.begin(ctx); err != nil {
			return nil, err
		}
		return s.RunWithin(ctx, in, share)
	}
	turn, err := j.runs.Join(ctx, j.caller, part)
	if err != nil {
		return nil, notRun(err)
	}
	j.release = turn.Release
	items, end, leads := turn.Lead()
	switch {
	case leads && len(items) == 1:
		defer end()
		return s.RunWithin(ctx, in, share)
	case leads:
		go runBatch(&batch{session: s, budget: j.budget, loners: j.loners, shared: j.shared}, items, end)
	}
	a := m.wait()
	if a.share != nil {
		share.Absorb(a.share)
	}
	return a.out, a.err
}

// kind is what requests that may run together have in common: the shapes of one row.
type kind struct {
	session *onnx.Session
	shapes  string
}

// part is what a request says to the scheduler; nil if it runs alone.
func (j *joint) part(ctx context.Context, s *onnx.Session, in map[string]*tensor.Tensor) (*member, schedule.Part) {
	rows, shapes, err := rowsOf(s, in)
	if err != nil || rows >= int64(j.Size) {
		return nil, schedule.Part{}
	}
	k := kind{s, shapes}
	if j.loners.has(k) || j.loners.has(j.caller) || rows > 1 && j.loners.has(bulk{k, j.caller}) {
		return nil, schedule.Part{}
	}
	m := &member{ctx: ctx, caller: j.caller, kind: k, in: in, rows: rows, answer: make(chan answer, 1)}
	return m, schedule.Part{Kind: k, Rows: int(rows), Size: j.Size, Wait: j.Wait, Item: m}
}

var errNoRows = errors.New("model: inputs without rows")

// rowsOf is how many rows all inputs have, and the shapes of one of them.
func rowsOf(s *onnx.Session, in map[string]*tensor.Tensor) (rows int64, shapes string, err error) {
	var key []byte
	inputs := s.Inputs()
	for i, v := range inputs {
		t := in[v.Name]
		if t == nil || t.Type != v.Type || len(t.Shape) == 0 || slices.Contains(t.Shape, 0) || i > 0 && t.Shape[0] != rows {
			return 0, "", errNoRows
		}
		rows = t.Shape[0]
		key = binary.AppendUvarint(key, uint64(len(t.Shape)))
		for _, d := range t.Shape[1:] {
			key = binary.AppendVarint(key, d)
		}
	}
	if len(in) != len(inputs) || rows < 1 {
		return 0, "", errNoRows
	}
	return rows, string(key), nil
}

// bulk is a caller whose requests of a kind had more rows than fit with others'.
type bulk struct {
	kind   kind
	caller string
}

// loners are those whose requests run alone for a while: a kind of which not even two rows
// are apart, bulk, and callers (a string) whose requests failed in a run of others'.
type loners struct {
	mu    sync.Mutex
	until map[any]time.Time
}

// Bounds of loners.
const (
	maxLoners  = 256
	lonerTimes = time.Minute
)

func (l *loners) has(who any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until[who])
}

func (l *loners) add(who any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(l.until, func(_ any, t time.Time) bool { return !now.Before(t) })
	if len(l.until) >= maxLoners { // who is the next to go goes
		delete(l.until, slices.MinFunc(slices.Collect(maps.Keys(l.until)), func(a, b any) int { return l.until[a].Compare(l.until[b]) }))
	}
	if l.until == nil {
		l.until = map[any]time.Time{}
	}
	l.until[who] = now.Add(lonerTimes)
}
