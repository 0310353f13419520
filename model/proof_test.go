package model

import (
	"bytes"
	"fmt"
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
	want(t, as(t, s, "clinic", "POST", path, bytes.NewReader(proven())), 507, "bytes of memory, the box has 1048576")
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
