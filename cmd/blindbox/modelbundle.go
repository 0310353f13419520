package main

import (
	"encoding/hex"
	"io"
	"strings"

	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model"
)

// shownBundle is what `model show` prints of a bundle or a folder.
type shownBundle struct {
	File    string       `json:"file"`
	Bytes   int64        `json:"bytes"`
	Digest  string       `json:"sha256"`
	Files   []shownFile  `json:"files"`
	Inputs  []shownValue `json:"inputs"`
	Outputs []shownValue `json:"outputs"`
	Memory  int64        `json:"memory_bytes"` // that it holds when it is loaded, in bytes
	Runs    bool         `json:"runs"`
}

type shownFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"sha256"`
}

// showBundle makes of a bundle what a box makes of it.
func (s *session) showBundle(file string, in io.Reader, read *digested, shapes map[string][]int64) error {
	if len(shapes) > 0 {
		return usage("--shape is for ONNX models: a pipeline gives its models their inputs itself")
	}
	m, err := model.LoadFrom("bundle", [32]byte{}, in)
	if err != nil {
		r := notShown(err, "a bundle within the limits of a box, whose pipeline fits its models")
		if r.reason == catalogue.CodeModel {
			r.seen, r.entry.Fix = strings.TrimPrefix(r.seen, "model: bundle: "), mendPipeline
		}
		return r
	}
	shown := &shownBundle{
		File: file, Bytes: read.bytes, Digest: hex.EncodeToString(read.hash.Sum(nil)),
		Inputs: shownValues(m.Inputs()), Outputs: shownValues(m.Outputs()), Memory: m.Memory(), Runs: true,
	}
	for _, f := range m.Files() {
		shown.Files = append(shown.Files, shownFile{f.Name, f.Size, hex.EncodeToString(f.SHA256[:])})
	}
	s.writeBundle(shown)
	return nil
}

func (s *session) writeBundle(b *shownBundle) {
	if s.json() {
		s.writeJSON(b)
		return
	}
	s.printf("file        %s, %s\n", oneLine(b.File), sizes.Exact(b.Bytes))
	s.printf("sha256      %s\n", b.Digest)
	s.printf("files\n")
	for _, f := range b.Files {
		s.printf("  %10d  %s  %s\n", f.Bytes, abridge(f.Digest), oneLine(f.Name))
	}
	s.writeValues("inputs", b.Inputs)
	s.writeValues("outputs", b.Outputs)
	s.printf("memory      %s when it is loaded\n", sizes.Exact(b.Memory))
	s.printf("runs        yes\n")
}
