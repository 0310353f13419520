package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/blindbox/blindbox/internal/catalogue"
)

// wrapping describes a box around a local command.
type wrapping struct {
	command []string
	listen  string // where the command accepts HTTP: 127.0.0.1:8000 or unix:/path
	key     string // "" means that anyone may call
	env     []string
}

// document writes the policy of such a box. JSON strings are YAML strings, so
// nothing in a command can break out of its quotes.
func (w wrapping) document() ([]byte, error) {
	program, err := exec.LookPath(w.command[0])
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil, notStarted(err, "a program that can be run")
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fail(catalogue.CodeApp, "box", err.Error(), "")
	}
	words := make([]string, len(w.command))
	for i, word := range append([]string{program}, w.command[1:]...) {
		words[i] = quoteYAML(word)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "name: dev\napp:\n  command: [%s]\n  dir: %s\n  listen: %s\n", strings.Join(words, ", "), quoteYAML(dir), quoteYAML(w.listen))
	if len(w.env) > 0 {
		b.WriteString("  env:\n")
		for _, kv := range w.env {
			name, value, _ := strings.Cut(kv, "=")
			fmt.Fprintf(&b, "    %s: %s\n", name, quoteYAML(value))
		}
	}
	if w.key == "" {
		b.WriteString("callers:\n  - {anyone: true, may: [query]}\n")
	} else {
		fmt.Fprintf(&b, "callers:\n  - {name: developer, api_key: \"sha256:%x\", may: [query, observe]}\n", sha256.Sum256([]byte(w.key)))
	}
	return []byte(b.String()), nil
}

func quoteYAML(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
