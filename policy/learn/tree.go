package learn

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
)

// Tree is the files of an app by their paths, "/" among them.
type Tree map[string]Entry

// Entry is what a path is.
type Entry struct {
	Dir   bool
	Bytes int64
	// Changed is when, in nanoseconds of some clock. A folder changes when
	// something in it comes or goes.
	Changed int64
}

// Changed returns the folders in which something was written, an outer one for all
// that lies in it where the whole of it is the app's.
func (t Tree) Changed(after Tree) []Folder {
	folders := map[string]*Folder{}
	for _, p := range slices.Sorted(maps.Keys(after)) {
		now := after[p]
		old, known := t[p]
		switch {
		case known && now.Dir && old.Dir && now.Changed != old.Changed:
			// Something came or went: what is still there is found by itself.
			t.folder(folders, p)
		case known && now == old, known && now.Dir:
			continue
		case now.Dir:
			f := t.folder(folders, p)
			f.Example = cmp.Or(f.Example, p)
		default:
			f := t.folder(folders, path.Dir(p))
			f.Example = cmp.Or(f.Example, p)
			f.Files++
			f.Bytes += now.Bytes
		}
	}
	out := make([]Folder, 0, len(folders))
	for _, p := range slices.Sorted(maps.Keys(folders)) {
		if f := folders[p]; f.Files > 0 || !t.explained(folders, p) {
			out = append(out, *f)
		}
	}
	return out
}

// explained reports whether a folder changed because one came in it.
func (t Tree) explained(folders map[string]*Folder, dir string) bool {
	for p := range folders {
		if _, known := t[p]; !known && path.Dir(p) == dir {
			return true
		}
	}
	return false
}

// folder returns the entry that stands for a folder: the outermost above it that the
// image does not have, or the folder of the image itself.
func (t Tree) folder(all map[string]*Folder, dir string) *Folder {
	for dir != "/" {
		if _, known := t[dir]; known {
			break
		}
		if parent := path.Dir(dir); t[parent].Dir {
			break
		}
		dir = path.Dir(dir)
	}
	if parent := path.Dir(dir); parent != "/" && parent != dir && !t.exists(dir) && !t.holds(parent) {
		dir = parent // empty in the image: all of it can be the app's
	}
	if f := all[dir]; f != nil {
		return f
	}
	f := &Folder{Path: dir, Holds: dir == "/" || t.holds(dir)}
	all[dir] = f
	return f
}

func (t Tree) exists(p string) bool {
	_, known := t[p]
	return known
}

// holds reports whether there is anything in a folder.
func (t Tree) holds(dir string) bool {
	for p := range t {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}
