package onnx

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// TestLoadingComputesNothingDear: constants are small, but what is to be computed of
// them is not; a run has a deadline, loading has none.
func TestLoadingComputesNothingDear(t *testing.T) {
	models := map[string][]byte{
		"2^60 products": pb.Model(pb.Initializer(pb.Floats("a", []int64{64}, make([]float32, 64)...)),
			pb.Node("", "Einsum", of("a", "a", "a", "a", "a", "a", "a", "a", "a", "a"), of("y"), pb.Msg(5, pb.Str(1, "equation"), pb.Str(4, "a,b,c,d,e,f,g,h,i,j->"), pb.Int(20, 3))), pb.OpenOutput("y", 1)),
		"a long text": pb.ModelAt(20, pb.Initializer(pb.Head("a", 8, 1), pb.Str(6, strings.Repeat("a", 60_000))),
			pb.Node("", "RegexFullMatch", of("a"), of("y"), pb.Msg(5, pb.Str(1, "pattern"), pb.Str(4, "(.*a){900}b"), pb.Int(20, 3))), pb.OpenOutput("y", 9)),
	}
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			s := mustLoad(t, model)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := s.Run(ctx, nil); err == nil {
				t.Error("a run that takes seconds has ended in time")
			}
		})
	}
}
