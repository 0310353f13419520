package model

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/store"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// proven is a model of some hundred bytes for which a proof that rows are apart holds
// nearly 2 MiB: tables that are made of the number of rows.
func proven() []byte {
	graph := [][]byte{pb.Input("x", 1, "n", 3), pb.Initializer(pb.Ints("zero", []int64{1}, 0)), pb.Initializer(pb.Ints("rest", []int64{1}, 1<<14)),
		pb.Node("", "Shape", []string{"x"}, []string{"shape"}), pb.Node("", "Gather", []string{"shape", "zero"}, []string{"n"}),
		pb.Node("", "Concat", []string{"n", "rest"}, []string{"s"}, pb.AttrInt("axis", 0)), pb.Node("", "ConstantOfShape", []string{"s"}, []string{"c0"})}
	for i := range 8 {
		graph = append(graph, pb.Node("", "Neg", []string{fmt.Sprint("c", i)}, []string{fmt.Sprint("c", i+1)}))
	}
	return pb.Model(append(graph, pb.Node("", "ReduceMax", []string{"c8"}, []string{"m"}, pb.AttrInts("axes", 1)),
		pb.Node("", "Add", []string{"x", "m"}, []string{"y"}), pb.Output("y", 1, "n", 3))...)
}

// TestProofsCount: what the proof of a model holds counts for the memory of the models
// that callers bring, while it is made.
func TestProofsCount(t *testing.T) {
	const path = "/v2/repository/uploads?name=m&batch=4"
	s := repository(t, false, nil)
	want(t, as(t, s, "clinic", "POST", path, bytes.NewReader(proven())), 507, " of memory, the box has 1 MiB")
	if own := s.store.Stats("clinic"); own.Memory != 0 {
		t.Errorf("%+v is left", own)
	}
	s = repository(t, false, func(c *store.Config) { c.Memory = 4 << 20 })
	want(t, as(t, s, "clinic", "POST", path, bytes.NewReader(proven())), 201, `"batch":4`)
	if own := s.store.Stats("clinic"); own.Memory > 1<<18 {
		t.Errorf("%+v is left", own)
	}
}

// TestProofsOfRuns: what a proof holds counts for the memory of all runs. Where there is
// none the requests run alone, and share a run when there is.
func TestProofsOfRuns(t *testing.T) {
	s := serverOf(t, batched(t, "m", proven(), Batching{Size: 8}), WithMemory(8<<20))
	body := func(row int) string {
		return fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[%d,1,2]}]}`, row)
	}
	list := []sent{{caller: "a", path: "/v2/models/m/infer", body: body(1)}, {caller: "b", path: "/v2/models/m/infer", body: body(2)},
		{caller: "c", path: "/v2/models/m/infer", body: body(3)}, {caller: "d", path: "/v2/models/m/infer", body: body(4)}}
	held := s.budget.Share() // leaves enough for a run, and not for the proof of four rows
	if err := held.Take(6 << 20); err != nil {
		t.Fatal(err)
	}
	for i, w := range crowd(t, s, list, nil) {
		want(t, w, 200, fmt.Sprintf(`"data":[%d,1,2]`, i+1))
	}
	if runs := s.Shared().Runs; runs != 0 {
		t.Errorf("%d runs were shared without a proof", runs)
	}
	held.Release()
	for i, w := range crowd(t, s, list, nil) {
		want(t, w, 200, fmt.Sprintf(`"data":[%d,1,2]`, i+1))
	}
	if runs := s.Shared().Runs; runs != 1 {
		t.Errorf("%d runs were shared, expected one", runs)
	}
}

// attacked are requests of two callers who send so many rows each that all together are
// too many for a proof or a run, and of two who send one.
func attacked(rows int) []sent {
	list := []sent{}
	for i, caller := range []string{"hostile", "victim", "accomplice", "other victim"} {
		if n := rows; i%2 == 0 {
			list = append(list, sent{caller: caller, path: "/v2/models/m/infer", body: fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,3],"data":[%d%s]}]}`, n, i, strings.Repeat(",1", 3*n-1))})
		} else {
			list = append(list, sent{caller: caller, path: "/v2/models/m/infer", body: fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[%d,1,1]}]}`, i)})
		}
	}
	return list
}

// TestSpoilersRunAlone: whose requests have too many rows for a run of several loses such
// runs, and not the others of that shape. Of this model the rows of up to four are known
// to be apart.
func TestSpoilersRunAlone(t *testing.T) {
	for name, list := range map[string][]sent{"each is provable": attacked(4), "none is provable": attacked(7)} {
		t.Run(name, func(t *testing.T) {
			s := serverOf(t, batched(t, "m", proven(), Batching{Size: 32}))
			alike := func(list []sent) {
				t.Helper()
				for i, w := range crowd(t, s, list, nil) {
					want(t, w, 200, `"data":[`+list[i].body[strings.Index(list[i].body, `"data":[`)+8:][:1])
				}
			}
			alike([]sent{list[0], list[2]}) // by themselves
			alike(list)
			alike(list)
			// In both of the latter the victims share a run.
			if now := s.Shared(); now.Runs != 2 || now.Requests != 4 || now.Rows != 4 {
				t.Errorf("%+v, expected two runs of two victims", now)
			}
			// The scheduler puts who spoilt a run with nobody any more.
			before := s.runs.Stats()
			alike(list)
			if now := s.runs.Stats(); now.Batched-before.Batched != 2 {
				t.Errorf("%d requests were put together, expected two", now.Batched-before.Batched)
			}
			// With one row they are as anybody.
			alike([]sent{{caller: "hostile", path: list[1].path, body: list[1].body}, list[1], list[3]})
			if now := s.Shared(); now.Requests != 4+2+3 {
				t.Errorf("%+v, expected three more requests together", now)
			}
		})
	}
}

// TestTooManyForARun: of those whose rows take more together than a run may, the one with
// the most loses such runs.
func TestTooManyForARun(t *testing.T) {
	s := serverOf(t, batched(t, "words", words(), Batching{Size: 64}), WithMemory(40<<10))
	list := []sent{}
	for i, rows := range []int{1, 20, 1, 20} {
		list = append(list, sent{caller: fmt.Sprint("caller ", i), path: "/v2/models/words/infer", body: idsOf(rows, make([]int, 32*rows)...)})
	}
	for range 4 {
		for i, w := range crowd(t, s, list, nil) {
			if w.Code != 200 {
				t.Errorf("%s: %d %s", list[i].caller, w.Code, w.Body)
			}
		}
	}
	if now := s.Shared(); now.Runs != 3 {
		t.Errorf("%+v, expected a run of the others each time but the first", now)
	}
}

// ofNumber is a model that adds to x what other nodes make of the number n of rows, as r.
func ofNumber(nodes ...[]byte) []byte {
	return pb.Model(append([][]byte{pb.Input("x", 1, "n", "m"), pb.Initializer(pb.Ints("zero", []int64{1}, 0)), pb.Initializer(pb.Ints("four", []int64{1}, 4)),
		pb.Initializer(pb.Ints("factors", []int64{2}, 1, 4096)), pb.Node("", "Shape", []string{"x"}, []string{"shape"}), pb.Node("", "Gather", []string{"shape", "zero"}, []string{"n"})},
		append(nodes, pb.Node("", "Add", []string{"x", "r"}, []string{"y"}), pb.Output("y", 1, "n", "m"))...)...)
}

func zeros(caller string, rows, columns int) sent {
	return sent{caller: caller, path: "/v2/models/m/infer", body: fmt.Sprintf(`{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,%d],"data":[0%s]}]}`, rows, columns, strings.Repeat(",0", rows*columns-1))}
}

// TestRequestOfSeveralRows: a request of several rows is answered as alone where the rows
// of the whole run are apart, but these, by themselves, are not.
func TestRequestOfSeveralRows(t *testing.T) {
	s := serverOf(t, batched(t, "m", ofNumber(pb.Node("", "Equal", []string{"n", "four"}, []string{"e"}), pb.Node("", "Cast", []string{"e"}, []string{"r"}, pb.AttrInt("to", 1))), Batching{Size: 8}))
	want(t, as(t, s, "a", "POST", "/v2/models/m/infer", strings.NewReader(zeros("a", 4, 1).body)), 200, `"data":[1,1,1,1]`)
	got := crowd(t, s, []sent{zeros("a", 4, 1), zeros("b", 1, 1)}, nil)
	want(t, got[0], 200, `"data":[1,1,1,1]`)
	want(t, got[1], 200, `"data":[0]`)
}

// TestShapesThatMix: where not even two rows are known to be apart, requests of that shape
// are put together once, and those of others as before. That five of another shape are too
// many is nobody's fault.
func TestShapesThatMix(t *testing.T) {
	table := [][]byte{pb.Node("", "Mul", []string{"shape", "factors"}, []string{"s"}), pb.Node("", "ConstantOfShape", []string{"s"}, []string{"c"}),
		pb.Node("", "ReduceMax", []string{"c"}, []string{"r"}, pb.AttrInts("axes", 1))}
	s := serverOf(t, batched(t, "m", ofNumber(table...), Batching{Size: 8}))
	for i, c := range []struct{ columns, callers, more, together int }{{32, 2, 0, 2}, {32, 2, 0, 0}, {4, 5, 0, 5}, {4, 2, 1, 2}} {
		list := []sent{}
		for k := range c.callers {
			list = append(list, zeros(fmt.Sprint("caller ", c.callers-k), 1+c.more, c.columns))
		}
		before := s.runs.Stats().Batched
		for _, w := range crowd(t, s, list, nil) {
			want(t, w, 200, `"data":[0`)
		}
		if n := s.runs.Stats().Batched - before; n != uint64(c.together) {
			t.Errorf("%d: %d requests were put together, expected %d", i, n, c.together)
		}
	}
}
