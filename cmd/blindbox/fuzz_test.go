package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/attest"
)

// FuzzVerifyFile: whatever a file holds, `verify` ends with 2, 3 or 4, one
// document, and no stack.
func FuzzVerifyFile(f *testing.F) {
	captures, err := filepath.Glob("../../vectors/snp/turin*.report.bin")
	if err != nil || len(captures) == 0 {
		f.Fatalf("no capture: %v", err)
	}
	report, err := os.ReadFile(captures[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add(report)
	f.Add(report[:len(report)-1])
	f.Add(bytes.Repeat([]byte{0xff}, snpReportSize))
	b := attest.Bundle{Evidence: attest.Evidence{Kind: attest.SNP, Data: report}, Statement: []byte("no statement"), Policy: []byte("name: x\n")}
	encoded, err := b.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte("BBXBNDL1"))
	vek := strings.TrimSuffix(captures[0], ".report.bin") + ".vek.der"
	at := func() time.Time { return time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC) }
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := inMemory(t, at, "verify", "--vek", vek, file)
		if code < 2 && !(code == 1 && len(data) > attest.MaxBundle) || code > 4 {
			t.Errorf("exit %d: %s%s", code, stdout, stderr)
		}
		if strings.Contains(stderr, "goroutine") || strings.Contains(stderr, "BBX-199") {
			t.Errorf("a defect: %s", stderr)
		}
		if strings.Contains(stdout, "VERIFIED") {
			t.Errorf("a file was verified: %s", stdout)
		}
	})
}

func FuzzTLSRecords(f *testing.F) {
	f.Add([]byte{22, 3, 3, 0, 1, 0})
	f.Add([]byte("GET / HTTP/1.1"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		sum := 0
		for _, r := range tlsRecords(stream) {
			sum += 5
			if r.size < 0 || r.size > 1<<16 {
				t.Fatalf("a record of %d bytes", r.size)
			}
		}
		if sum > len(stream)+5 {
			t.Fatalf("%d bytes of headers in %d bytes", sum, len(stream))
		}
	})
}

func FuzzOneLine(f *testing.F) {
	f.Add("two\nlines \x1b[31m \u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := oneLine(s)
		if strings.ContainsAny(got, "\n\r\x1b\u009b\u202e") {
			t.Fatalf("%q becomes %q", s, got)
		}
		if utf8.ValidString(s) && utf8.RuneCountInString(s) != utf8.RuneCountInString(got) {
			t.Fatalf("%q becomes %q", s, got)
		}
	})
}
