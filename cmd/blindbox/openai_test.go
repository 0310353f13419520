package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const pipelineOfMiniLM = `model: model.onnx
input:
  text: {tokenizer: tokenizer.json, length: 256}
output:
  - pool: mean
  - normalize
`

// minilm starts a box with a real model that makes embeddings, of which its caller may
// ask no other model, and a local proxy to it.
func minilm(t *testing.T) (local, grpc string) {
	t.Helper()
	if runtime.GOOS == "windows" || os.Getenv("BLINDBOX_MODELS") == "" || os.Getenv("BLINDBOX_TOKENIZERS") == "" {
		t.Skip("no models in BLINDBOX_MODELS and tokenizers in BLINDBOX_TOKENIZERS: `make test` fetches them")
	}
	dir := t.TempDir()
	folder := filepath.Join(dir, "minilm")
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(folder, "pipeline.yaml"), pipelineOfMiniLM)
	for name, from := range map[string]string{
		"model.onnx": filepath.Join(os.Getenv("BLINDBOX_MODELS"), "minilm-l6-int8.onnx"), "tokenizer.json": filepath.Join(os.Getenv("BLINDBOX_TOKENIZERS"), "minilm.json"),
	} {
		write(filepath.Join(folder, name), string(readVector(t, from)))
	}
	packed := filepath.Join(dir, "minilm.tar")
	if code, stdout, stderr := inMemory(t, time.Now, "model", "pack", "-f", packed, folder); code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	const key = "a-key-of-the-app-that-asks"
	policy := write(filepath.Join(dir, "box.yaml"), fmt.Sprintf(`name: minilm
models:
  - {name: minilm, path: %s, sha256: "sha256:%x"}
  - {name: tumour, builtin: tumour}
callers:
  - {name: app, api_key: "sha256:%x", may: [list, query], models: [minilm]}
cedar: |
  permit(principal, action == Action::"query", resource) when { context.path like "/v2/health/*" };
`, packed, sha256.Sum256(readVector(t, packed)), sha256.Sum256([]byte(key))))
	env := map[string]string{"BLINDBOX_HOME": dir, "PATH": os.Getenv("PATH"), "HOME": dir}
	trust := filepath.Join(dir, "trust.yaml")
	box := start(t, env, "dev", "-f", policy, "--listen", "127.0.0.1:0", "--trust-out", trust)
	proxy := start(t, env, "connect", "--listen", "127.0.0.1:0", "--trust", trust, "--api-key-file", write(filepath.Join(dir, "key"), key), box.text(t, "url"))
	local = proxy.text(t, "local")
	return local, strings.TrimPrefix(local, "http://")
}

// unmodified runs somebody else's client against a box and expects it to be content.
func unmodified(t *testing.T, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("%v\n%.4000s", err, out)
	}
}

// TestClientsOfModels points clients that are others' at a model in a box, as they are.
func TestClientsOfModels(t *testing.T) {
	local, grpc := minilm(t)
	python := os.Getenv("BLINDBOX_PYTHON")
	t.Run("openai", func(t *testing.T) {
		if python == "" {
			t.Skip("BLINDBOX_PYTHON names no Python with openai: `make test` makes one")
		}
		unmodified(t, python, "testdata/openai/embeddings.py", local+"/v1")
	})
	t.Run("openai-go", func(t *testing.T) {
		peer := filepath.Join(t.TempDir(), "openai-go")
		golang := func(args ...string) ([]byte, error) {
			c := exec.CommandContext(t.Context(), "go", args...)
			c.Dir = filepath.Join("..", "..", "internal", "peers", "openai-go")
			c.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
			return c.CombinedOutput()
		}
		if out, err := golang("mod", "download"); err != nil {
			t.Skipf("OpenAI's client for Go is not to be had here: %v\n%.1000s", err, out)
		}
		if out, err := golang("build", "-o", peer, "."); err != nil {
			t.Fatalf("%v\n%.4000s", err, out)
		}
		unmodified(t, peer, local+"/v1", "minilm")
	})
	t.Run("kserve", func(t *testing.T) {
		kserve := os.Getenv("BLINDBOX_KSERVE")
		if kserve == "" {
			t.Skip("BLINDBOX_KSERVE names no Python with kserve: `make test` makes one")
		}
		unmodified(t, kserve, "testdata/kserve/client.py", local, grpc)
	})
}
