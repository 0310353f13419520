package cache

import (
	"slices"
	"time"
)

// abandoned is the age after which a file that was not renamed belongs to no
// running process.
const abandoned = time.Hour

// shrink removes the entries that were fetched longest ago until the rest is
// within the limits, then the objects that no entry names. Another process may
// lose an object to it between its two writes; that shows as missing and is
// fetched again.
func (d *Dir) shrink() error {
	recs, err := d.records()
	if err != nil {
		return err
	}
	sizes, total, err := d.sizes()
	if err != nil || (total <= d.limit && len(sizes) <= maxEntries) {
		return err
	}
	slices.SortFunc(recs, func(a, b record) int { return b.fetched.Compare(a.fetched) })
	kept, keep := int64(0), map[string]bool{}
	for i, rec := range recs {
		// The newest stays, whatever its size.
		if size := rec.size(sizes, keep); i == 0 || (kept+size <= d.limit && len(keep) < maxEntries/2) {
			kept += size
			keep[rec.data], keep[rec.chain] = true, true
			continue
		}
		_ = d.root.Remove("index/" + nameOf([]byte(rec.key)))
	}
	for name := range sizes {
		if !keep[name] {
			_ = d.root.Remove("objects/" + name)
		}
	}
	return nil
}

// size is what an entry adds to those that are kept.
func (r record) size(sizes map[string]int64, keep map[string]bool) int64 {
	n := int64(0)
	for _, name := range []string{r.data, r.chain} {
		if name != "" && !keep[name] {
			n += sizes[name]
		}
	}
	return n
}

// sizes returns the objects' sizes by name, without the files of other
// processes that are being written.
func (d *Dir) sizes() (map[string]int64, int64, error) {
	files, err := d.list("objects")
	if err != nil {
		return nil, 0, err
	}
	sizes, total := map[string]int64{}, int64(0)
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			continue // gone by now
		}
		if !objectName.MatchString(f.Name()) && time.Since(info.ModTime()) < abandoned {
			continue
		}
		sizes[f.Name()] = info.Size()
		total += info.Size()
	}
	return sizes, total, nil
}
