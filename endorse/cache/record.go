package cache

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// record is one file of the index: four lines, key, object, chain ("-" for
// none) and time.
type record struct {
	key         string
	data, chain string // names of objects
	fetched     time.Time
}

const maxKey = 1 << 10

var objectName = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (r record) encode() ([]byte, error) {
	if r.key == "" || len(r.key) > maxKey || strings.ContainsAny(r.key, "\r\n") {
		return nil, fmt.Errorf("cache: key of %d bytes, expected one line of 1 to %d", len(r.key), maxKey)
	}
	chain := r.chain
	if chain == "" {
		chain = "-"
	}
	return []byte(r.key + "\n" + r.data + "\n" + chain + "\n" + r.fetched.Format(time.RFC3339) + "\n"), nil
}

// parseRecord reads what encode wrote and nothing else.
func parseRecord(text []byte) (record, bool) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 5 || lines[4] != "" {
		return record{}, false
	}
	r := record{key: lines[0], data: lines[1], chain: lines[2]}
	if r.chain == "-" {
		r.chain = ""
	}
	var err error
	if r.fetched, err = time.Parse(time.RFC3339, lines[3]); err != nil || r.fetched.Location() != time.UTC {
		return record{}, false
	}
	whole := objectName.MatchString(r.data) && (r.chain == "" || objectName.MatchString(r.chain))
	again, err := r.encode()
	return r, whole && err == nil && string(again) == string(text)
}

// record reads one file of the index; a damaged one is not found.
func (d *Dir) record(file string) (record, bool, error) {
	text, found, err := d.read(file, maxEntry)
	if err != nil || !found {
		return record{}, false, err
	}
	rec, ok := parseRecord(text)
	return rec, ok, nil
}

// records reads the index, as far as it can be read and is as it was written.
func (d *Dir) records() ([]record, error) {
	files, err := d.list("index")
	if err != nil {
		return nil, err
	}
	var out []record
	for _, f := range files {
		rec, found, err := d.record("index/" + f.Name())
		if err != nil {
			return nil, err
		}
		if found && nameOf([]byte(rec.key)) == f.Name() {
			out = append(out, rec)
		}
	}
	return out, nil
}
