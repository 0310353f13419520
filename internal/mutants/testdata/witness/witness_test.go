package witness

import (
	"testing"

	"github.com/blindbox/blindbox/internal/mutants/testdata/toy"
)

func TestShort(t *testing.T) {
	if toy.Short("long") == nil {
		t.Error("a long word passes")
	}
}
