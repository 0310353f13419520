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
		"cols":     {unsafe.Offsetof(x.cols), 192},
		"flags":    {unsafe.Offsetof(x.flags), 200},
		"tiles":    {unsafe.Offsetof(x.tiles), 208},
		"height":   {unsafe.Offsetof(x.height), 216},
		"taller":   {unsafe.Offsetof(x.taller), 224},
		"ahead":    {unsafe.Offsetof(x.ahead), 232},
		"step":     {unsafe.Offsetof(x.aheadStep), 256},
		"alpha":    {unsafe.Offsetof(x.alpha), 264},
		"beta":     {unsafe.Offsetof(x.beta), 268},
		"lo":       {unsafe.Offsetof(x.lo), 272},
		"hi":       {unsafe.Offsetof(x.hi), 276},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, the generator says %d", name, offsets[0], offsets[1])
		}
	}
}
