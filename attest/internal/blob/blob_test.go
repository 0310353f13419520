package blob_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest/internal/blob"
)

func TestReader(t *testing.T) {
	data := append(blob.Append([]byte("MAGIC"), []byte("part")), 2)
	r := blob.NewReader("test", data)
	r.Magic("MAGIC")
	if got := r.Blob(4); string(got) != "part" {
		t.Errorf("part %q", got)
	}
	if n := r.Count(2); n != 2 {
		t.Errorf("count %d", n)
	}
	if err := r.End(); err != nil {
		t.Error(err)
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		read func(*blob.Reader)
		says string
	}{
		"other magic":    {"MAGIX", func(r *blob.Reader) { r.Magic("MAGIC") }, `at byte 0: begins with "MAGIX"`},
		"short":          {"ab", func(r *blob.Reader) { r.Take(3) }, "3 bytes wanted, 2 left"},
		"over the limit": {"\x00\x00\x00\x02ab", func(r *blob.Reader) { r.Blob(1) }, "a part of 2 bytes, limit 1"},
		"no such bytes":  {"\xff\xff\xff\xff", func(r *blob.Reader) { r.Blob(1 << 20) }, "limit 1048576"},
		"no length":      {"\x00\x00", func(r *blob.Reader) { r.Blob(1) }, "4 bytes wanted, 2 left"},
		"many":           {"\x03", func(r *blob.Reader) { r.Count(2) }, "3 items, limit 2"},
		"no count":       {"", func(r *blob.Reader) { r.Count(2) }, "1 bytes wanted"},
		"left over":      {"x", func(*blob.Reader) {}, "1 bytes after the end"},
		"first error":    {"x", func(r *blob.Reader) { r.Fail("first"); r.Fail("second") }, "first"},
	} {
		r := blob.NewReader("test", []byte(c.data))
		c.read(r)
		if name != "left over" && r.Take(1) != nil {
			t.Errorf("%s: read on after an error", name)
		}
		if err := r.End(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(blob.Append(blob.Append(nil, []byte("a")), []byte("bc")))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := blob.NewReader("test", data)
		var back []byte
		for r.Err() == nil && len(back) < len(data) {
			if part := r.Blob(64); r.Err() == nil {
				back = blob.Append(back, part)
			}
		}
		if err := r.End(); err == nil && !bytes.Equal(back, data) {
			t.Errorf("%x reads as %x", data, back)
		}
	})
}
