package wire

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestFieldsOfEveryType(t *testing.T) {
	msg := []byte{
		0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, // 1: -1
		0x15, 0, 0, 0x80, 0x3f, // 2: 1.0
		0x1a, 2, 'h', 'i', // 3: "hi"
		0x21, 1, 2, 3, 4, 5, 6, 7, 8, // 4: fixed64
		0x2a, 3, 1, 0x96, 1, // 5: packed [1, 150]
		0x32, 4, 0, 0, 0x80, 0xbf, // 6: packed [-1.0]
	}
	r := NewReader(msg)
	next := func() Field {
		t.Helper()
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if v, err := next().Int(); err != nil || v != -1 {
		t.Errorf("int: %v, %v", v, err)
	}
	if v, err := next().Float(); err != nil || v != 1 {
		t.Errorf("float: %v, %v", v, err)
	}
	if v, err := next().Bytes(); err != nil || string(v) != "hi" {
		t.Errorf("bytes: %q, %v", v, err)
	}
	next()
	var ints []int64
	if err := next().Ints(func(v int64) error { ints = append(ints, v); return nil }); err != nil || len(ints) != 2 || ints[1] != 150 {
		t.Errorf("packed ints: %v, %v", ints, err)
	}
	var floats []float32
	if err := next().Floats(func(v float32) error { floats = append(floats, v); return nil }); err != nil || len(floats) != 1 || floats[0] != -1 {
		t.Errorf("packed floats: %v, %v", floats, err)
	}
	if !r.Done() {
		t.Error("bytes are left")
	}
}

func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		msg  []byte
		want string
	}{
		"cut tag":          {[]byte{0x80}, "cut off"},
		"cut varint":       {[]byte{0x08, 0xff}, "cut off"},
		"11-byte varint":   {append([]byte{0x08}, []byte(strings.Repeat("\xff", 11))...), "64 bits"},
		"field zero":       {[]byte{0x00, 0x00}, "field number 0"},
		"field too large":  {[]byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, "field number"},
		"length past end":  {[]byte{0x0a, 5, 1}, "needs 5 bytes, 1 are left"},
		"length of 2^63":   {[]byte{0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, "are left"},
		"cut fixed32":      {[]byte{0x0d, 1, 2}, "needs 4 bytes"},
		"cut fixed64":      {[]byte{0x09, 1, 2}, "needs 8 bytes"},
		"group":            {[]byte{0x0b}, "wire type 3"},
		"unknown wiretype": {[]byte{0x0f}, "wire type 7"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewReader(c.msg).Next()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestWrongTypeIsAnError(t *testing.T) {
	f := Field{Number: 3, Type: Fixed64}
	_, intErr := f.Int()
	_, floatErr := f.Float()
	_, bytesErr := f.Bytes()
	ints := f.Ints(func(int64) error { return nil })
	floats := f.Floats(func(float32) error { return nil })
	for _, err := range []error{intErr, floatErr, bytesErr, ints, floats} {
		if err == nil || !strings.Contains(err.Error(), "wire type 1") {
			t.Errorf("got %v", err)
		}
	}
	odd := Field{Number: 3, Type: Bytes, data: []byte{1, 2, 3}}
	if err := odd.Floats(func(float32) error { return nil }); err == nil {
		t.Error("3 bytes of packed floats accepted")
	}
	cut := Field{Number: 3, Type: Bytes, data: []byte{0x80}}
	if err := cut.Ints(func(int64) error { return nil }); err == nil {
		t.Error("cut packed varint accepted")
	}
}

func TestCallbackErrorStops(t *testing.T) {
	stop := errors.New("stop")
	f := Field{Number: 1, Type: Bytes, data: []byte{1, 2, 3, 4}}
	n := 0
	if err := f.Ints(func(int64) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
	if err := f.Floats(func(v float32) error { _ = math.Float32bits(v); return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0x08, 1, 0x12, 2, 8, 1})
	f.Add([]byte{0x0d, 0, 0, 0x80, 0x3f})
	f.Fuzz(func(t *testing.T, data []byte) {
		left := len(data)
		for r := NewReader(data); !r.Done(); {
			field, err := r.Next()
			if err != nil {
				return
			}
			if len(r.rest) >= left {
				t.Fatal("no progress")
			}
			left = len(r.rest)
			_ = field.Ints(func(int64) error { return nil })
			_ = field.Floats(func(float32) error { return nil })
		}
	})
}
