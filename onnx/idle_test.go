package onnx

import (
	"fmt"
	"runtime"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestBranchesDoNotKeepWhatTheyTook: each of many branches takes half of what a run may
// hold. Without a budget nothing counts memory between runs, so none of it may wait.
func TestBranchesDoNotKeepWhatTheyTook(t *testing.T) {
	const branches, floats = 12, 4 << 20
	fields := [][]byte{pb.Input("c", 9), pb.Input("x0", 1, 1), pb.Initializer(pb.Ints("long", []int64{1}, floats))}
	for i := range branches {
		from, to := fmt.Sprintf("x%d", i), fmt.Sprintf("x%d", i+1)
		long := join(pb.Node("", "Expand", of(from, "long"), of("a")), pb.Node("", "Exp", of("a"), of("d")), pb.Node("", "ReduceMax", of("d"), of("b")))
		short := pb.Node("", "Neg", of(from), of("b"))
		fields = append(fields, pb.Node("", "If", of("c"), of(to),
			pb.AttrGraph("then_branch", long, pb.OpenOutput("b", 1)), pb.AttrGraph("else_branch", short, pb.OpenOutput("b", 1))))
	}
	lim := DefaultLimits()
	lim.RunBytes = 8 * floats
	s, err := load(pb.Model(append(fields, pb.OpenOutput(fmt.Sprintf("x%d", branches), 1))...), lim)
	if err != nil {
		t.Fatal(err)
	}
	before := held()
	if _, err := s.Run(t.Context(), map[string]*tensor.Tensor{"c": tensor.Of([]bool{true}), "x0": vec(-1)}); err != nil {
		t.Fatal(err)
	}
	if n := held() - before; n > floats {
		t.Errorf("%d bytes wait for another run, a run may hold %d", n, lim.RunBytes)
	}
	runtime.KeepAlive(s)
}

// held is how many bytes of the heap are in use.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
