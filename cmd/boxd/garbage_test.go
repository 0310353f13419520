package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// TestGarbage: beside models of a gigabyte a tenth of it may be garbage, and the program
// that runs boxd has its own pace again when that has ended.
func TestGarbage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "box.yaml")
	doc := goodPolicy + "store: {memory: 1GiB}\n"
	if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	before := read("/gc/gogc:percent")
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	var allowed uint64
	out := &console{word: "serving", seen: func() {
		allowed = read("/gc/gogc:percent") * max(read("/gc/heap/live:bytes"), 4<<20) / 100
		stop()
	}}
	if exit := run(ctx, []string{"--policy", file, "--listen", "127.0.0.1:0"}, out, machine{
		open:    func(platform) (attest.Attester, error) { return signer{policy: file}, nil },
		reserve: func() error { return nil }, root: true,
	}); exit != 0 {
		t.Fatalf("exit code %d\n%s", exit, out.text.String())
	}
	// The pace follows what is live a little later, so that it may be more for a moment.
	if allowed < 50<<20 {
		t.Errorf("%d MiB of garbage may lie, expected about 102 or more", allowed>>20)
	}
	if now := read("/gc/gogc:percent"); now != before {
		t.Errorf("GOGC is %d afterwards, expected %d", now, before)
	}
}

func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
