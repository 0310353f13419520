package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/foreign"
)

// modelFile is what a box makes a model of: a file, or a folder as the file that is made
// of it.
type modelFile struct {
	io.ReaderAt
	size  int64
	name  string // of the model, if nothing else is said
	close func()
}

// openModel opens a file, a folder with a pipeline, or its pipeline.yaml. The caller
// closes it.
func openModel(path string) (*modelFile, error) {
	info, err := os.Stat(path)
	switch {
	case path == "-": // it is read twice, and again where it was cut
		return nil, usage("a model on standard input, expected a file or a folder: it is read twice, and again from where it was cut")
	case err != nil:
		return nil, fail(catalogue.CodeFile, "file", err.Error(), "an ONNX model, a bundle, or a folder with "+bundle.Manifest)
	case info.IsDir():
		return openFolder(path)
	case filepath.Base(path) == bundle.Manifest:
		return openFolder(filepath.Dir(path))
	case !info.Mode().IsRegular(): // a pipe would be waited for
		return nil, fail(catalogue.CodeFile, "file", path+" is not a regular file", "an ONNX model, a bundle, or a folder with "+bundle.Manifest)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return &modelFile{f, info.Size(), nameOf(path), func() { f.Close() }}, nil
}

// openFolder makes one file of a folder. A link that leads out of it is not followed: the
// folder may be a stranger's, and what it names is sent to a box.
func openFolder(path string) (*modelFile, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	defer root.Close()
	p, err := models.Pack(root.FS())
	if err != nil {
		return nil, noBundle(path, err)
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole // "." has no name
	}
	return &modelFile{p, p.Size(), asName(filepath.Base(path)), func() { p.Close() }}, nil
}

// noBundle refuses a folder of which no bundle can be made: with the places in its
// pipeline.yaml, if they are what is wrong.
func noBundle(path string, err error) *refusal {
	var other *foreign.Error
	if errors.As(err, &other) {
		r := notAModel(other)
		r.seen = path + ": " + strings.TrimPrefix(err.Error(), "models: ")
		return r
	}
	r := badDocument(catalogue.CodeModel, "model", filepath.Join(path, bundle.Manifest), err)
	if len(r.places) == 0 {
		r.seen = path + ": " + strings.TrimPrefix(strings.TrimPrefix(err.Error(), "models: "), "bundle: ")
		r.expected = "a folder with " + bundle.Manifest + " and the files that it names, none of them a link that leads out of it"
	}
	r.entry.Fix = mendPipeline
	return r
}

const mendPipeline = "Mend the folder: docs/pipelines.md has every key of pipeline.yaml. `blindbox model show FOLDER` tells whether it fits."

var notOfAName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameOf makes a model's name of its file's.
func nameOf(file string) string {
	return asName(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
}

// isAName says whether a box takes a model under this name.
func isAName(name string) bool {
	return len(name) <= 128 && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name)
}

func asName(text string) string {
	return strings.Trim(notOfAName.ReplaceAllString(text, "-"), "-._")
}

func (s *session) modelPack() *cobra.Command {
	var file string
	var force bool
	cmd := &cobra.Command{
		Use:   "pack FOLDER [-f FILE]",
		Short: "Make one file of a folder with a pipeline",
		Long: `Make one file of a folder: of pipeline.yaml and the files that it names, and of
nothing else that lies there. A box takes the file as it takes an ONNX model. The
same files always make the same bytes, so that its digest stands for them.`,
		Args: exactly(1, "one FOLDER"),
		RunE: func(_ *cobra.Command, args []string) error { return s.pack(args[0], file, force) },
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "", "the file to write (default: NAME.tar)")
	f.BoolVar(&force, "force", false, "write over a file that is there")
	return cmd
}

func (s *session) pack(folder, file string, force bool) error {
	m, err := openFolder(folder)
	if err != nil {
		return err
	}
	defer m.close()
	if file == "" {
		file = m.name + ".tar"
	}
	sum := sha256.New()
	if err := s.writeStream(file, io.TeeReader(io.NewSectionReader(m, 0, m.size), sum), 0o644, force); err != nil {
		return err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if s.json() {
		s.writeJSON(map[string]any{"file": file, "sha256": digest, "bytes": m.size})
		return nil
	}
	s.printf("%s  sha256:%s\n  %s\n", oneLine(file), digest, sizes.Of(m.size))
	return nil
}
