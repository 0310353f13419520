package plan

import (
	"runtime"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/graph"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// TestFewFramesWait: of all shapes together, no more than can run at the same time.
func TestFewFramesWait(t *testing.T) {
	g := &graph.Graph{Inputs: []graph.Decl{input("x", -1)}, Nodes: numbered(node("Softmax", of("x"), "v"), node("Softmax", of("v"), "y")), Outputs: []graph.Decl{output("y")}}
	p := mustCompile(t, g, testOptions())
	run := func(n int64) {
		if _, err := p.Run(t.Context(), 1, []*tensor.Tensor{tensor.Of(make([]float32, n), n)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(maxBound) {
		run(n + 1)
	}
	if most := runtime.GOMAXPROCS(0); len(p.idle.frames) > most {
		t.Errorf("%d frames wait, at most %d may", len(p.idle.frames), most)
	}
	b, last := p.bound[len(p.bound)-1], p.idle.frames[len(p.idle.frames)-1].frame.Load()
	run(maxBound)
	if w := p.idle.frames[len(p.idle.frames)-1]; w.frame.Load() != last || w.bound != b {
		t.Error("the frame is another one than that of the run before")
	}
	if f := p.idle.get(b); f != last || p.idle.get(b) != nil {
		t.Error("a frame that waits is given out twice")
	}
}
