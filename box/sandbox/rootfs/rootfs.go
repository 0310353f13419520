// Package rootfs makes the file tree of an app out of an image's layers. It
// answers one question: can anything in an image touch what lies outside the
// tree, or use more of the box than the image is worth?
//
// Layers are tar archives that are laid over each other (OCI image-spec v1.1,
// layer.md). The kernel resolves every name below the tree's own root
// (openat2(2), RESOLVE_IN_ROOT), so "..", absolute names and symbolic links end
// inside whatever they say; names that try are refused all the same. Device
// nodes, pipes and sparse files are refused, set-user-id bits and extended
// attributes are dropped and reported, owners are shifted into a range that
// nobody on the machine has, and everything has a bound ([Limits]).
//
// An entry that two readers could understand differently is refused: one that
// is there twice in a layer, one that a layer both adds and deletes, bytes
// behind the end of the archive.
//
// The package stands inside the box. What it reads agrees with the digest that
// the policy pins, but the policy's author need not have looked inside.
package rootfs

import "fmt"

// Limits bounds a tree. Every field must be set; [DefaultLimits] does.
type Limits struct {
	Bytes int64 // of all layers, decompressed
	Files int   // entries in all layers, and folders that no entry names
	Path  int   // bytes of one name, and of what a link points to
	Depth int   // folders inside each other
	Ratio int64 // decompressed by compressed bytes of a layer, beyond ratioFree
}

// ratioFree is how much of a layer is decompressed before its ratio counts: a
// small one may well be a few zeros.
const ratioFree = 16 << 20

// DefaultLimits has room for any image in use. The bytes lie in the box's
// memory, so the size of the machine is the real bound. Names lie there too, while
// a layer is unpacked.
func DefaultLimits() Limits {
	return Limits{Bytes: 32 << 30, Files: 1 << 20, Path: 1024, Depth: 128, Ratio: 200}
}

func (l Limits) valid() error {
	if l.Bytes <= 0 || l.Files <= 0 || l.Path <= 0 || l.Depth <= 0 || l.Ratio <= 0 {
		return fmt.Errorf("rootfs: limits %+v, expected every one to be more than none", l)
	}
	return nil
}

// Reason says why an image is refused. Each is a case of its own.
type Reason string

// Why an image is refused.
const (
	Absolute     Reason = "an absolute name"
	Outside      Reason = "a name that leads out of the tree"
	LongName     Reason = "a name that is too long"
	TooDeep      Reason = "too many folders inside each other"
	TooMany      Reason = "too many entries"
	TooLarge     Reason = "too many bytes"
	TooDense     Reason = "too many bytes for what is stored"
	Device       Reason = "a device node"
	Pipe         Reason = "a named pipe"
	Sparse       Reason = "a sparse file"
	OddType      Reason = "an entry of a type that layers have not"
	OddOwner     Reason = "an owner outside of 0 to 65535"
	Twice        Reason = "a name that is there twice"
	Contradicts  Reason = "a name that is both added and deleted"
	BadWhiteout  Reason = "a mark of deletion that is not one"
	BadLink      Reason = "a hard link to what is no file of the tree"
	NotAFolder   Reason = "a name below what is no folder"
	NotATar      Reason = "not a tar archive"
	NotGzip      Reason = "not compressed with gzip"
	Trailing     Reason = "bytes behind the end of the archive"
	WrongContent Reason = "other bytes than the configuration names"
	LoopingLinks Reason = "symbolic links that go round in circles"
)

// Refusal is why an image cannot be unpacked.
type Refusal struct {
	Reason Reason
	Layer  int    // from 0, the lowest
	Entry  string // "" if it is not about one
	Detail string
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("rootfs: layer %d: %s", r.Layer, r.Reason)
	if r.Entry != "" {
		s += fmt.Sprintf(": %.200q", r.Entry)
	}
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	return s + "; nothing of the image was kept"
}

// Report is what was left out of a tree on purpose.
type Report struct {
	SetID        Dropped // set-user-id, set-group-id and sticky bits
	Capabilities Dropped // capabilities of files
	Attributes   Dropped // all other extended attributes
}

// Dropped counts what was dropped, and names the first few.
type Dropped struct {
	Count int
	First []string
}

func (d *Dropped) add(name string) {
	const most = 8
	if d.Count++; len(d.First) < most {
		d.First = append(d.First, name)
	}
}

// Lines says in words what was dropped, nothing if nothing was.
func (r Report) Lines() []string {
	var out []string
	for _, one := range []struct {
		what string
		d    Dropped
	}{
		{"set-user-id, set-group-id or sticky bits of", r.SetID},
		{"file capabilities of", r.Capabilities},
		{"extended attributes of", r.Attributes},
	} {
		if one.d.Count > 0 {
			out = append(out, fmt.Sprintf("dropped %s %d entries: %.400q", one.what, one.d.Count, one.d.First))
		}
	}
	return out
}
