package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// words looks numbers up: ids [n m] below 8 become [n m 3].
func words() []byte {
	table := make([]float32, 24)
	for i := range table {
		table[i] = float32(math.Sqrt(float64(i)))
	}
	return pb.Model(pb.Input("ids", 7, "n", "m"), pb.Initializer(pb.Floats("t", []int64{8, 3}, table...)),
		pb.Node("", "Gather", []string{"t", "ids"}, []string{"g"}), pb.Node("", "Softmax", []string{"g"}, []string{"y"}), pb.Output("y", 1, "n", "m", 3))
}

func batched(t testing.TB, name string, data []byte, b Batching) Loaded {
	t.Helper()
	m, err := LoadBatched(name, [32]byte{}, bytes.NewReader(data), b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func serverOf(t testing.TB, m Loaded, opts ...Option) *Server {
	t.Helper()
	s, err := NewServer([]Loaded{m}, append([]Option{WithConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sent is one request of a test: who sends what.
type sent struct {
	caller, path, body string
	ctx                context.Context
}

// crowd sends requests while the only run is taken, and lets them run when all wait. It
// returns the answers.
func crowd(t *testing.T, s *Server, list []sent, meanwhile func()) []*httptest.ResponseRecorder {
	t.Helper()
	release, err := s.runs.Acquire(t.Context(), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]*httptest.ResponseRecorder, len(list))
	var done sync.WaitGroup
	for i, q := range list {
		ctx := q.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		r := httptest.NewRequestWithContext(ctx, "POST", q.path, strings.NewReader(q.body))
		r.Header.Set(CallerHeader, q.caller)
		answers[i] = httptest.NewRecorder()
		done.Go(func() { s.ServeHTTP(answers[i], r) })
		eventually(t, "the request waits", func() bool { return s.runs.Stats().Waiting == i+1 })
	}
	if meanwhile != nil {
		meanwhile()
	}
	release()
	done.Wait()
	eventually(t, "the run has ended", func() bool { now := s.runs.Stats(); return now.Running+now.Waiting == 0 })
	return answers
}

// idsOf is a request of rows of ids.
func idsOf(rows int, ids ...int) string {
	text, _ := json.Marshal(ids)
	return fmt.Sprintf(`{"inputs":[{"name":"ids","datatype":"INT64","shape":[%d,%d],"data":%s}]}`, rows, len(ids)/rows, text)
}

// TestBatch: requests of several callers run together, and each is answered as it is
// alone, in its own rows.
func TestBatch(t *testing.T) {
	alone := serverOf(t, mustLoad(t, "words", words()))
	s := serverOf(t, batched(t, "words", words(), Batching{Size: 8}))
	var list []sent
	for i, rows := range []int{1, 2, 1, 1} {
		ids := make([]int, 3*rows)
		for k := range ids {
			ids[k] = (i + 3*k) % 8
		}
		list = append(list, sent{caller: fmt.Sprint("caller ", i), path: "/v2/models/words/infer", body: idsOf(rows, ids...)})
	}
	list = append(list, sent{caller: "other", path: "/v2/models/words/infer", body: idsOf(1, 1, 2)}) // of another shape
	for i, got := range crowd(t, s, list, nil) {
		w := as(t, alone, list[i].caller, "POST", list[i].path, strings.NewReader(list[i].body))
		if got.Code != 200 || got.Body.String() != w.Body.String() {
			t.Errorf("request %d: %d %s, alone %s", i, got.Code, got.Body, w.Body)
		}
	}
	if now := s.runs.Stats(); now.Batches != 1 || now.Batched != 4 {
		t.Errorf("%+v, expected one run of 4", now)
	}
	if got := s.Shared(); got != (Shared{Runs: 1, Requests: 4, Rows: 5}) {
		t.Errorf("counted %+v, expected one run of 4 requests with 5 rows", got)
	}
	if free := s.budget.Share(); free.Take(defaultMemory) != nil {
		t.Error("memory of runs was not given back")
	}
}

// TestBatchOfOneThatFails: a request that fails harms nobody, and does not spoil the next
// run.
func TestBatchOfOneThatFails(t *testing.T) {
	s := serverOf(t, batched(t, "words", words(), Batching{Size: 8}))
	path := "/v2/models/words/infer"
	list := []sent{{caller: "a", path: path, body: idsOf(1, 1, 2)}, {caller: "bad", path: path, body: idsOf(1, 1, 99)}, {caller: "c", path: path, body: idsOf(1, 3, 4)}}
	for i, w := range crowd(t, s, list, nil) {
		if want := map[bool]int{true: 400, false: 200}[i == 1]; w.Code != want {
			t.Errorf("%s: %d %s", list[i].caller, w.Code, w.Body)
		}
	}
	crowd(t, s, list, nil)
	if now := s.runs.Stats(); now.Batches != 2 || now.Batched != 5 {
		t.Errorf("%+v, expected 3 requests together and then 2", now)
	}
}

// leaving is a context that has ended when it is asked a second time.
type leaving struct {
	context.Context
	asked int
}

func (c *leaving) Err() error {
	if c.asked++; c.asked > 1 {
		return context.Canceled
	}
	return nil
}

// TestBatchSpoiltAndLeft: who spoils a run and leaves before it shows spoils no other one.
func TestBatchSpoiltAndLeft(t *testing.T) {
	m, err := onnx.Parse(words(), onnx.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(m, onnx.WithRows())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, caller string, id int64) *member {
		return &member{ctx: ctx, caller: caller, rows: 1, in: map[string]*tensor.Tensor{"ids": tensor.Of([]int64{id}, 1, 1)}, answer: make(chan answer, 1)}
	}
	for bad, spoils := range map[int64]bool{99: true, 3: false} {
		l := &loners{}
		good := ask(t.Context(), "good", 2)
		shares := &shared{}
		runBatch(&batch{session: s, budget: onnx.NewBudget(1 << 20), loners: l, shared: shares}, []any{good, ask(&leaving{Context: context.Background()}, "bad", bad)}, func() {})
		if a := <-good.answer; a.err != nil || l.has("bad") != spoils || l.has("good") {
			t.Errorf("id %d: %v, who spoilt it runs alone: %v, who did not: %v", bad, a.err, l.has("bad"), l.has("good"))
		}
	}
}

// TestBatchOfOneThatLeaves: who leaves takes nothing from the others.
func TestBatchOfOneThatLeaves(t *testing.T) {
	s := serverOf(t, batched(t, "words", words(), Batching{Size: 8}))
	path := "/v2/models/words/infer"
	gone, leave := context.WithCancel(t.Context())
	list := []sent{{caller: "a", path: path, body: idsOf(1, 1, 2), ctx: gone}, {caller: "b", path: path, body: idsOf(1, 5, 6)}, {caller: "c", path: path, body: idsOf(1, 3, 4)}}
	got := crowd(t, s, list, func() {
		leave()
		eventually(t, "it has left", func() bool { return s.runs.Stats().Waiting == 2 })
	})
	if got[0].Code == 200 || got[1].Code != 200 || got[2].Code != 200 {
		t.Errorf("%d, %d, %d", got[0].Code, got[1].Code, got[2].Code)
	}
	// In the middle of a run: the run is the others', too.
	b := &batch{}
	ctxs, stops := make([]context.Context, 2), make([]context.CancelFunc, 2)
	for i := range ctxs {
		ctxs[i], stops[i] = context.WithCancel(t.Context())
		b.members = append(b.members, &member{ctx: ctxs[i]})
	}
	ctx, stop := b.context()
	defer stop()
	stops[0]()
	select {
	case <-ctx.Done():
		t.Error("the run ended with the first of two that left")
	case <-time.After(10 * time.Millisecond):
	}
	stops[1]()
	<-ctx.Done()
}

// TestBatchWithoutMemory: a batch that memory is missing for is run one by one.
func TestBatchWithoutMemory(t *testing.T) {
	s := serverOf(t, batched(t, "words", words(), Batching{Size: 8}), WithMemory(3000))
	var list []sent
	for i := range 4 {
		list = append(list, sent{caller: fmt.Sprint("caller ", i), path: "/v2/models/words/infer", body: idsOf(1, make([]int, 32)...)})
	}
	served := 0
	for _, w := range crowd(t, s, list, nil) {
		if w.Code == 200 {
			served++
		} else if w.Code != 503 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if served == 0 {
		t.Error("nobody was served")
	}
}

// TestBatchOfTexts: a pipeline's requests run together where their tokens are as many.
func TestBatchOfTexts(t *testing.T) {
	data := triaged(t, nil).pack(t)
	alone := serverOf(t, mustLoad(t, "triage", data))
	s := serverOf(t, batched(t, "triage", data, Batching{Size: 8}))
	var list []sent
	for i, text := range []string{"chest pain", "a refund", "invoice twice", "chest pain suddenly"} {
		list = append(list, sent{caller: fmt.Sprint("caller ", i), path: "/v2/models/triage/infer",
			body: fmt.Sprintf(`{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":[%q]}]}`, text)})
	}
	for i, got := range crowd(t, s, list, nil) {
		w := as(t, alone, list[i].caller, "POST", list[i].path, strings.NewReader(list[i].body))
		if got.Code != 200 || got.Body.String() != w.Body.String() {
			t.Errorf("request %d: %d %s, alone %s", i, got.Code, got.Body, w.Body)
		}
	}
}

// TestBatchThatFailsInside: a mistake of ours ends these requests and nothing else.
func TestBatchThatFailsInside(t *testing.T) {
	m := &member{ctx: t.Context(), rows: 1, answer: make(chan answer, 1), in: map[string]*tensor.Tensor{"x": nil}}
	ended := false
	runBatch(&batch{budget: onnx.NewBudget(1), loners: &loners{}}, []any{m, m}, func() { ended = true })
	if a := <-m.answer; !ended || a.err == nil || !strings.Contains(a.err.Error(), "failed inside") {
		t.Errorf("ended %v, error %v", ended, a.err)
	}
}

// TestBatchRefused: what cannot be batched is refused when it is loaded, with the reason.
func TestBatchRefused(t *testing.T) {
	dynamic, err := os.ReadFile(filepath.Join("..", "onnx", "testdata", "quantized", "transformer-dynamic.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data   []byte
		b      Batching
		reason string
	}{
		{dynamic, Batching{Size: 8}, "takes one scale from all rows"},
		{echo(), Batching{Size: 8}, `expected "n" as the first dimension of every input`},
		{triaged(t, files{"triage.onnx": string(echo())}).pack(t), Batching{Size: 8}, "triage.onnx: requests for it cannot run together"},
		{words(), Batching{Size: 1}, "expected 2 to 64"},
		{words(), Batching{Size: 65}, "expected 2 to 64"},
		{words(), Batching{Size: 8, Wait: time.Minute}, "at most 1s"},
		{words(), Batching{Wait: time.Millisecond}, "expected 2 to 64"},
	} {
		if _, err := LoadBatched("m", [32]byte{}, bytes.NewReader(c.data), c.b); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%v: %v, expected %q", c.b, err, c.reason)
		}
	}
}

// TestUploadsInBatches: an upload says that requests for it may run together, which is
// part of what it is.
func TestUploadsInBatches(t *testing.T) {
	s := repository(t, true, nil)
	send := func(query string, data []byte) *httptest.ResponseRecorder {
		return as(t, s, "clinic", "POST", "/v2/repository/uploads?"+query, bytes.NewReader(data))
	}
	want(t, send("name=a&batch=8", words()), 201, `"batch":8`)
	want(t, send("name=b&optimize=false&batch=8", words()), 201, `"optimize":false,"batch":8`)
	want(t, as(t, serverOf(t, batched(t, "words", words(), Batching{Size: 8})), "clinic", "POST", "/v2/repository/index", nil), 200, `"optimize":true,"batch":8`)
	want(t, send("name=c", scale(3)), 201, `"optimize":true,"loaded"`)
	for _, n := range []string{"0", "1", "65", "x", "-8"} {
		want(t, send("name=d&batch="+n, words()), 400, "a number of rows from 2 to 64")
	}
	want(t, send("name=e&batch=8", scale(3)), 422, "requests for it cannot run together")
	for text, size := range map[string]int{"": 0, "batch=8": 8, "optimize=false": 0, "optimize=false,batch=64": 64,
		"batch=08": -1, "batch=": -1, "batch=8,optimize=false": -1, "optimize=false,": -1, ",": -1, "optimize=falsebatch=8": -1, "batch=0": -1} {
		if _, b, err := optionsOf(text); size < 0 != (err != nil) || err == nil && b.Size != size {
			t.Errorf("options %q: %v %v", text, b, err)
		}
	}
}

// TestLoners: there are never more than their bound, and they are forgotten.
func TestLoners(t *testing.T) {
	l := &loners{}
	for i := range 10 * maxLoners {
		l.add(i)
	}
	if !l.has(10*maxLoners-1) || l.has("nobody") || len(l.until) > maxLoners {
		t.Errorf("%d", len(l.until))
	}
	l.until["past"] = time.Now().Add(-time.Second)
	if l.has("past") {
		t.Error("one stays for ever")
	}
	for who := range l.until {
		l.until[who] = time.Now().Add(-time.Second)
	}
	if l.add("now"); len(l.until) != 1 || !l.has("now") {
		t.Errorf("%d are held, expected the one that runs alone", len(l.until))
	}
}
