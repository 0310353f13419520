//go:build amd64 && !purego

package qgemm

import (
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/generated"
)

// TestGenerated: the assembly in the repository is what the generator writes.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	if err := generated.Files("-out", "assembly_amd64.s"); err != nil {
		t.Error(err)
	}
}

// TestLayout: the generator has the offsets of tile as numbers.
func TestLayout(t *testing.T) {
	if err := generated.Offsets(reflect.TypeFor[tile](), "gen/layout.go", "field"); err != nil {
		t.Error(err)
	}
}
