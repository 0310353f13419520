package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
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
	fixed32 := Field{Number: 3, Type: Fixed32}
	if err := fixed32.Doubles(func(float64) error { return nil }); err == nil || !strings.Contains(err.Error(), "wire type 5") {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{intErr, floatErr, bytesErr, ints, floats} {
		if err == nil || !strings.Contains(err.Error(), "wire type 1") {
			t.Errorf("got %v", err)
		}
	}
	odd := field(t, 0x1a, 3, 1, 2, 3)
	if err := odd.Floats(func(float32) error { return nil }); err == nil {
		t.Error("3 bytes of packed floats accepted")
	}
	cut := field(t, 0x1a, 1, 0x80)
	if err := cut.Ints(func(int64) error { return nil }); err == nil {
		t.Error("cut packed varint accepted")
	}
}

func TestCallbackErrorStops(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	if err := field(t, 0x0a, 4, 1, 2, 3, 4).Ints(func(int64) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
	if err := field(t, 0x0a, 4, 1, 2, 3, 4).Floats(func(v float32) error { _ = math.Float32bits(v); return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// field reads the one field of a message.
func field(t *testing.T, message ...byte) Field {
	t.Helper()
	f, err := NewReader(message).Next()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// walk writes down what a reader sees, going into every field that may be a message,
// and reading the others as what their type allows, by turns.
func walk(r *Reader, depth int) string {
	var b strings.Builder
	for n := 0; !r.Done(); n++ {
		f, err := r.Next()
		if err != nil {
			return b.String() + "!"
		}
		fmt.Fprintf(&b, "%d/%d/%d/%d ", f.Number, f.Type, f.bits, f.Size())
		switch n % 6 {
		case 0: // left unread
		case 1:
			err = f.Ints(func(v int64) error { fmt.Fprint(&b, v, " "); return nil })
		case 2:
			err = f.Floats(func(v float32) error { fmt.Fprint(&b, v, " "); return nil })
		case 3:
			err = f.Doubles(func(v float64) error { fmt.Fprint(&b, v, " "); return nil })
		case 4:
			var data []byte
			data, err = f.Bytes()
			fmt.Fprintf(&b, "%q", data)
		case 5:
			var inner *Reader
			if inner, err = f.Message(); err == nil && depth < 5 {
				b.WriteString("(" + walk(inner, depth+1) + ")")
			}
		}
		if err != nil {
			return b.String() + "?"
		}
	}
	return b.String()
}

// TestStreamAndMemoryReadTheSame with messages that are longer than the window, and
// a stream that hands out odd amounts.
func TestStreamAndMemoryReadTheSame(t *testing.T) {
	var message []byte
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		size := random.IntN(3000)
		message = binary.AppendUvarint(message, uint64(i+1)<<3|2)
		message = binary.AppendUvarint(message, uint64(size))
		for range size {
			message = append(message, byte(random.IntN(256)))
		}
	}
	want := walk(NewReader(message), 0)
	for name, from := range map[string]io.Reader{
		"whole": bytes.NewReader(message), "bytes": iotest.OneByteReader(bytes.NewReader(message)),
		"halves": iotest.HalfReader(bytes.NewReader(message)), "end with data": iotest.DataErrReader(bytes.NewReader(message)),
	} {
		if got := walk(NewStream(from, int64(len(message))), 0); got != want {
			t.Errorf("%s: reads another message", name)
		}
	}
}

func TestStreamThatIsTooLong(t *testing.T) {
	message := []byte{0x08, 1, 0x08, 2}
	r := NewStream(bytes.NewReader(message), 2)
	if _, err := r.Next(); err != nil || r.Done() {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "more than 2 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestStreamThatBreaks(t *testing.T) {
	lost := errors.New("lost")
	for name, message := range map[string][]byte{"in a tag": {0x80}, "in content": {0x0a, 9, 1}, "between": {0x08, 1}} {
		t.Run(name, func(t *testing.T) {
			r := NewStream(io.MultiReader(bytes.NewReader(message), iotest.ErrReader(lost)), 100)
			var err error
			for err == nil {
				if r.Done() {
					t.Fatal("is taken for the end")
				}
				var f Field
				if f, err = r.Next(); err == nil && f.Type == Bytes {
					_, err = f.Bytes()
				}
			}
			if !errors.Is(err, lost) {
				t.Errorf("got %v", err)
			}
		})
	}
	cut := NewStream(bytes.NewReader([]byte{0x0a, 9, 1}), 100)
	if _, err := cut.Next(); err != nil {
		t.Fatal(err)
	}
	if cut.Done() {
		t.Error("a field that is cut off is taken for the end")
	}
}

// TestStreamOfLies: a length alone takes no memory.
func TestStreamOfLies(t *testing.T) {
	head := binary.AppendUvarint([]byte{0x0a}, 1<<40)
	f, err := NewStream(bytes.NewReader(append(head, 1, 2, 3)), 1<<41).Next()
	if err != nil || f.Size() != 1<<40 {
		t.Fatal(err)
	}
	if _, err := f.Bytes(); err == nil {
		t.Error("no error")
	}
}

func TestContentIsReadInTurn(t *testing.T) {
	f := field(t, 0x0a, 1, 5)
	if _, err := f.Bytes(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Bytes(); err == nil || !strings.Contains(err.Error(), "out of turn") {
		t.Errorf("got %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0x08, 1, 0x12, 2, 8, 1})
	f.Add([]byte{0x0d, 0, 0, 0x80, 0x3f})
	f.Fuzz(func(t *testing.T, data []byte) {
		memory := walk(NewReader(data), 0)
		stream := walk(NewStream(iotest.OneByteReader(bytes.NewReader(data)), int64(len(data))), 0)
		// Memory sees a length that is too large at once, a stream when it ends.
		memory, stream = strings.TrimRight(memory, "!?()"), strings.TrimRight(stream, "!?()")
		if !strings.HasPrefix(stream, memory) {
			t.Fatalf("memory: %s\nstream: %s", memory, stream)
		}
	})
}

// TestFixedFieldsEndWithTheirMessage, although more bytes follow.
func TestFixedFieldsEndWithTheirMessage(t *testing.T) {
	outer := NewReader([]byte{0x0a, 3, 0x0d, 1, 2, 0x08, 1, 0x08, 1})
	f, err := outer.Next()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := f.Message()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inner.Next(); err == nil || !strings.Contains(err.Error(), "needs 4 bytes, 2 are left") {
		t.Errorf("got %v", err)
	}
}

// TestContentThatNobodyReadsMustBeThere, too.
func TestContentThatNobodyReadsMustBeThere(t *testing.T) {
	cut := NewStream(bytes.NewReader([]byte{0x0a, 9, 1}), 100)
	if _, err := cut.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Next(); err == nil || !strings.Contains(err.Error(), "bytes more than there are") {
		t.Errorf("got %v", err)
	}
}
