package cbor

import (
	"errors"
	"strings"
	"testing"
)

// TestNumbered: a register is found in maps of both forms, once, and only where the
// map ends with the bytes.
func TestNumbered(t *testing.T) {
	for _, c := range []struct{ name, data, want, fault string }{
		{"definite", "\xa2\x01\x41a\x10\x41b", "b", ""},
		{"stream", "\xbf\x10\x41b\xff", "b", ""},
		{"other number", "\xa1\x01\x41a", "", "number 16: none"},
		{"twice", "\xa2\x10\x41a\x10\x41b", "", "number 16 twice"},
		{"behind", "\xa1\x10\x41b\x00", "", "1 bytes after the end"},
		{"no map", "\x81\x10", "", "an item of type 4, expected 5"},
		{"cut", "\xa1\x10\x42b", "", "1 bytes missing"},
		{"text as a value", "\xa1\x10\x61b", "", "an item of type 3, expected 2"},
		{"text as a key", "\xa1\x61a\x41b", "", "an item of type 3, expected 0"},
		{"nothing", "", "", "missing"},
		{"more than there is", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "", "missing"},
	} {
		got, err := Numbered([]byte(c.data), 16)
		if string(got) != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: got %q, %v, expected %q, %s", c.name, got, err, c.want, c.fault)
		}
	}
	if _, err := Numbered([]byte("\xa0"), 16); !errors.Is(err, ErrNone) {
		t.Errorf("an empty map: %v", err)
	}
}

// TestBytes: one string, and nothing after it.
func TestBytes(t *testing.T) {
	if got, err := Bytes([]byte("\x42ab")); string(got) != "ab" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, data := range []string{"", "\x42a", "\x42abc", "\x62ab", "\x5f\x41a\xff"} {
		if got, err := Bytes([]byte(data)); got != nil || err == nil {
			t.Errorf("%x: %q, %v", data, got, err)
		}
	}
	if _, err := (Fields{}).Bytes("user_data"); err == nil || !strings.Contains(err.Error(), `no field "user_data"`) {
		t.Errorf("%v", err)
	}
}

// TestPayload: four parts, of which the third is a string that holds a map.
func TestPayload(t *testing.T) {
	f, err := Payload([]byte("\x84\x40\xa0\x44\xa1\x61a\x01\x40"))
	if err != nil || string(f["a"]) != "\x01" {
		t.Errorf("%v, %v", f, err)
	}
	for _, data := range []string{"", "\x83\x40\xa0\x41\xa0", "\x84\x40\xa0\xa0\x40", "\x84\x40\xa0\x42\xa0\x00\x40", "\x84\x40\x81\x81\x81\x81\x00\x41\xa0\x40", "\x84\x40\xc1\x00\x41\xa0\x40"} {
		if f, err := Payload([]byte(data)); err == nil || f != nil {
			t.Errorf("%x: %v", data, f)
		}
	}
}
