//go:build amd64 && !purego

package conv

import (
	"errors"
	"reflect"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/generated"
)

// TestGenerated: the assembly in the repository is what the generator writes.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	if err := generated.Files("-out", "tile_amd64.s", "-dispatch", "dispatch_amd64.go"); err != nil {
		t.Error(err)
	}
}

// TestLayout: the generator has the offsets of fields as numbers.
func TestLayout(t *testing.T) {
	err := errors.Join(
		generated.Offsets(reflect.TypeFor[tile](), "gen/kernel.go", "tile"),
		generated.Offsets(reflect.TypeFor[poolTile](), "gen/pool.go", "pool"),
		generated.Offsets(reflect.TypeFor[inward](), "gen/winograd.go", "inward"),
		generated.Offsets(reflect.TypeFor[outward](), "gen/winograd.go", "outward"))
	if err != nil {
		t.Error(err)
	}
}
