package rootfs

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/blindbox/blindbox/box/sandbox/ustar"
)

// entry is one entry of a layer after all checks that need no tree.
type entry struct {
	name   string // clean, relative; "." is the root
	kind   byte   // a type of package ustar: a file, a folder or a link
	target string // of a link; clean and relative for a hard one
	mode   uint32 // permission bits only
	uid    uint32
	gid    uint32
	size   int64
	mtime  time.Time
	// At most one of these is set; name is then the folder, or what is deleted.
	whiteout, opaque bool
}

// maxID is the highest id in a tree. The user namespace maps as many.
const maxID = 65535

// Marks of deletion (image-spec, layer.md, "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// examine turns a header into an entry.
func (l Limits) examine(h *ustar.Header) (entry, *Refusal) {
	if r := kindOf(h); r != "" {
		return entry{}, &Refusal{Reason: r, Detail: fmt.Sprintf("tar type %q", h.Type)}
	}
	name, r := l.relative(h.Name)
	if r != "" {
		return entry{}, &Refusal{Reason: r}
	}
	if h.UID > maxID || h.GID > maxID {
		return entry{}, &Refusal{Reason: OddOwner, Detail: fmt.Sprintf("%d:%d", h.UID, h.GID)}
	}
	e := entry{
		name: name, kind: h.Type, target: h.Target, size: h.Size, mtime: h.Time,
		mode: uint32(h.Mode) & 0o777, uid: uint32(h.UID), gid: uint32(h.GID),
	}
	if name == "." && e.kind != ustar.Folder {
		return entry{}, &Refusal{Reason: NotAFolder, Detail: "the root itself"}
	}
	if r := l.link(&e); r != nil {
		return entry{}, r
	}
	return e, e.deletion()
}

// kindOf refuses all types but files, folders and links.
func kindOf(h *ustar.Header) Reason {
	for k := range h.Records {
		if strings.HasPrefix(k, "GNU.sparse") {
			return Sparse
		}
	}
	switch h.Type {
	case ustar.File, ustar.Folder, ustar.Symlink, ustar.HardLink:
		return ""
	case ustar.CharDev, ustar.BlockDev:
		return Device
	case ustar.Pipe:
		return Pipe
	case ustar.GNUSparse:
		return Sparse
	}
	return OddType
}

// relative cleans a name. It may not begin at the root nor go upwards
// anywhere, not even where that would end inside again.
func (l Limits) relative(name string) (string, Reason) {
	const component = 255 // NAME_MAX, linux/limits.h
	switch {
	case len(name) > l.Path:
		return "", LongName
	case strings.HasPrefix(name, "/"):
		return "", Absolute
	case name == "" || strings.ContainsRune(name, 0):
		return "", Outside
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", Outside
		}
		if len(part) > component {
			return "", LongName
		}
	}
	clean := path.Clean(name)
	if strings.Count(clean, "/") >= l.Depth {
		return "", TooDeep
	}
	return clean, ""
}

func (l Limits) link(e *entry) *Refusal {
	switch e.kind {
	case ustar.Symlink:
		// Where it leads is looked at whenever it is followed, and then inside
		// the tree only. The app may follow it anywhere in its own view.
		if e.target == "" || len(e.target) > l.Path || strings.ContainsRune(e.target, 0) {
			return &Refusal{Reason: LongName, Detail: fmt.Sprintf("a link to a name of %d bytes", len(e.target))}
		}
	case ustar.HardLink:
		target, r := l.relative(e.target)
		if r != "" {
			return &Refusal{Reason: r, Detail: fmt.Sprintf("a hard link to %.200q", e.target)}
		}
		e.target = target
	}
	return nil
}

// deletion recognises marks of deletion.
func (e *entry) deletion() *Refusal {
	dir, base := path.Split(e.name)
	rest, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		return nil
	}
	if e.kind != ustar.File || e.size != 0 {
		return &Refusal{Reason: BadWhiteout, Detail: "expected an empty file"}
	}
	if base == opaqueMark {
		e.opaque, e.name = true, path.Clean("./"+dir)
		return nil
	}
	if rest == "" || rest == "." || rest == ".." || strings.HasPrefix(rest, whiteoutPrefix) {
		return &Refusal{Reason: BadWhiteout}
	}
	e.whiteout, e.name = true, path.Clean(dir+rest)
	return nil
}

// note reports what of a header is not kept.
func (r *Report) note(h *ustar.Header, name string) {
	const special = 0o7000
	if h.Mode&special != 0 {
		r.SetID.add(name)
	}
	for k := range h.Records {
		attr, ok := strings.CutPrefix(k, "SCHILY.xattr.")
		switch {
		case !ok:
		case attr == "security.capability":
			r.Capabilities.add(name)
		default:
			r.Attributes.add(name)
		}
	}
}
