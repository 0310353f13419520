package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestComposeFromPipe: what env_file names is a file; nobody waits for a pipe.
func TestComposeFromPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error)
	go func() { written <- os.WriteFile(pipe, []byte("A=1"), 0) }() // waits for who reads
	if text, err := readBelow(dir, "pipe"); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("read %q, %v", text, err)
	}
	f, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := <-written; err != nil {
		t.Error(err)
	}
}
