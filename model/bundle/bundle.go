// Package bundle answers: which files are in this bundle, and what are the bytes of a
// bundle of these files?
//
// A bundle is one file that holds a model, what stands beside it, and pipeline.yaml, which
// says how to get from a text, a picture or a recording to an answer. It is a tar archive
// in one exact form, so that the same files make the same bytes and one digest stands for
// all of them:
//
//	plain files alone, named by up to 100 letters, digits, '.', '_' and '-', the first a letter or digit
//	headers of the ustar format (POSIX.1-1988): mode 0644, owner and group 0 without names, time 0
//	pipeline.yaml first, then the other files, then the *.onnx files, each group in the order of its bytes
//	two blocks of zeros at the end, and nothing behind them
//
// GNU tar writes it too:
//
//	tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0 -b1 -cf out.tar pipeline.yaml vocab.txt model.onnx
//
// Reading stands inside the box and takes what strangers made: a bundle in any other form
// is refused with what is wrong in it, sizes are counted before memory is taken, and an
// entry is read as a stream. What pipeline.yaml says is the business of package pipeline.
package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/blindbox/blindbox/internal/sizes"
)

// Manifest is the name of a bundle's first file.
const Manifest = "pipeline.yaml"

// ModelSuffix ends the names of models, which come last and are not held by who reads.
const ModelSuffix = ".onnx"

// Limits bounds a bundle. Every field must be positive: a limit that was forgotten is an
// error, not "unlimited".
type Limits struct {
	Files    int   // files in it, models included
	Manifest int64 // bytes of pipeline.yaml
	File     int64 // bytes of any one file that is no model
	Beside   int64 // bytes of all files together that are no models
	Model    int64 // bytes of any one model
}

// DefaultLimits are those of a box.
func DefaultLimits() Limits {
	return Limits{Files: 64, Manifest: 64 << 10, File: 64 << 20, Beside: 128 << 20, Model: maxSize}
}

// maxSize is the largest size that a ustar header can say.
const maxSize = 1<<33 - 1

// budget is what is left of the limits.
type budget struct {
	Limits
	err error
}

func newBudget(l Limits) budget {
	if l.Files <= 0 || l.Manifest <= 0 || l.File <= 0 || l.Beside <= 0 || l.Model <= 0 {
		return budget{err: errors.New("bundle: a limit is not positive")}
	}
	return budget{Limits: l}
}

// take counts a file.
func (b *budget) take(e Entry) error {
	if b.err != nil {
		return b.err
	}
	limit := b.File
	switch {
	case e.Name == Manifest:
		limit = min(b.Manifest, limit)
	case e.IsModel():
		limit = b.Model
	}
	switch {
	case b.Files == 0:
		return errors.New("more files than the limit")
	case e.Size > limit:
		return fmt.Errorf("has %s, the limit is %s", sizes.Exact(e.Size), sizes.Exact(limit))
	case !e.IsModel() && e.Size > b.Beside:
		return errors.New("the files beside the models have more bytes together than the limit")
	}
	if b.Files--; !e.IsModel() {
		b.Beside -= e.Size
	}
	return nil
}

// Entry is a file of a bundle.
type Entry struct {
	Name string
	Size int64 // in bytes
}

// IsModel says that the file is one of the models, which come last.
func (e Entry) IsModel() bool { return strings.HasSuffix(e.Name, ModelSuffix) }

var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckName refuses a name that no file of a bundle can have.
func CheckName(name string) error {
	if !plain.MatchString(name) {
		return fmt.Errorf("bundle: name %.120q, expected up to 100 letters, digits, '.', '_' and '-', the first a letter or digit", name)
	}
	return nil
}

// compare is the order of the files in a bundle.
func compare(a, b string) int {
	return cmp.Or(cmp.Compare(group(a), group(b)), cmp.Compare(a, b))
}

func group(name string) int {
	switch {
	case name == Manifest:
		return 0
	case strings.HasSuffix(name, ModelSuffix):
		return 2
	}
	return 1
}
