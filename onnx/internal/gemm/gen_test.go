//go:build amd64 && !purego

package gemm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"
)

// TestGenerated: the assembly in the repository is what the generator writes.
func TestGenerated(t *testing.T) {
	out := filepath.Join(t.TempDir(), "tile_amd64.s")
	if log, err := exec.Command("go", "run", "./gen", "-out", out).CombinedOutput(); err != nil {
		t.Skipf("no generator here: %v\n%s", err, log)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("tile_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	// The first line is the command.
	if _, got, _ = bytes.Cut(got, []byte("\n")); !bytes.HasSuffix(want, got) {
		t.Error("tile_amd64.s is not what go generate writes")
	}
}

// TestLayout: the generator has the offsets of tile as numbers.
func TestLayout(t *testing.T) {
	var x tile
	for name, offsets := range map[string][2]uintptr{
		"a":        {unsafe.Offsetof(x.a), 0},
		"b":        {unsafe.Offsetof(x.b), 24},
		"c":        {unsafe.Offsetof(x.c), 48},
		"extra":    {unsafe.Offsetof(x.extra), 72},
		"bias":     {unsafe.Offsetof(x.bias), 96},
		"rowBias":  {unsafe.Offsetof(x.rowBias), 120},
		"aRow":     {unsafe.Offsetof(x.aRow), 144},
		"aCol":     {unsafe.Offsetof(x.aCol), 152},
		"bRow":     {unsafe.Offsetof(x.bRow), 160},
		"cRow":     {unsafe.Offsetof(x.cRow), 168},
		"extraRow": {unsafe.Offsetof(x.extraRow), 176},
		"k":        {unsafe.Offsetof(x.k), 184},
		"rows":     {unsafe.Offsetof(x.rows), 192},
		"cols":     {unsafe.Offsetof(x.cols), 200},
		"flags":    {unsafe.Offsetof(x.flags), 208},
		"ahead":    {unsafe.Offsetof(x.ahead), 216},
		"step":     {unsafe.Offsetof(x.aheadStep), 240},
		"alpha":    {unsafe.Offsetof(x.alpha), 248},
		"beta":     {unsafe.Offsetof(x.beta), 252},
		"lo":       {unsafe.Offsetof(x.lo), 256},
		"hi":       {unsafe.Offsetof(x.hi), 260},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, the generator says %d", name, offsets[0], offsets[1])
		}
	}
}
