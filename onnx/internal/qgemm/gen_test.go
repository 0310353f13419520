//go:build amd64 && !purego

package qgemm

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
	out := filepath.Join(t.TempDir(), "assembly_amd64.s")
	if log, err := exec.Command("go", "run", "./gen", "-out", out).CombinedOutput(); err != nil {
		t.Skipf("no generator here: %v\n%s", err, log)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("assembly_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	// The first line is the command.
	if _, got, _ = bytes.Cut(got, []byte("\n")); !bytes.HasSuffix(want, got) {
		t.Error("assembly_amd64.s is not what go generate writes")
	}
}

// TestLayout: the generator has the offsets of tile as numbers.
func TestLayout(t *testing.T) {
	var x tile
	for name, offsets := range map[string][2]uintptr{
		"a":       {unsafe.Offsetof(x.a), 0},
		"b":       {unsafe.Offsetof(x.b), 24},
		"c":       {unsafe.Offsetof(x.c), 48},
		"zeroA":   {unsafe.Offsetof(x.zeroA), 72},
		"excess":  {unsafe.Offsetof(x.excess), 96},
		"zeroB":   {unsafe.Offsetof(x.zeroB), 120},
		"sum":     {unsafe.Offsetof(x.sum), 144},
		"aRow":    {unsafe.Offsetof(x.aRow), 168},
		"bPanel":  {unsafe.Offsetof(x.bPanel), 176},
		"cRow":    {unsafe.Offsetof(x.cRow), 184},
		"quads":   {unsafe.Offsetof(x.quads), 192},
		"rows":    {unsafe.Offsetof(x.rows), 200},
		"columns": {unsafe.Offsetof(x.columns), 208},
		"flags":   {unsafe.Offsetof(x.flags), 216},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, the generator says %d", name, offsets[0], offsets[1])
		}
	}
}
