// Package picture answers one question: which numbers does a model get for this photograph? It
// reads a PNG or JPEG file, turns it as its camera says, makes it smaller, cuts it, and writes the
// float32 values that image models are trained on.
//
// It stands inside the box and reads files of strangers. A file's header says how much memory
// the rest will take, and what is over the limits is refused before any of it is taken; a few
// bytes that claim to be a large picture cost what Limits say and end with their context. No
// input makes it panic: that the decoders of the standard library do not is tested here too.
//
// Sizes are in pixels, x to the right and y down, the origin at the upper left.
package picture

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/blindbox/blindbox/internal/sizes"
)

// Image is a picture of three bytes a pixel, red, green and blue, row by row without gaps.
type Image struct {
	W, H int
	Pix  []byte // 3*W*H
}

// New makes a black picture. The caller has checked the size.
func New(w, h int) *Image { return &Image{W: w, H: h, Pix: make([]byte, 3*w*h)} }

// Limits bound what one file may ask for.
type Limits struct {
	Pixels int64 // width times height, as the header says
	Bytes  int64 // memory while it is decoded, counted from the header
}

// DefaultLimits are enough for the photographs of today's telephones.
func DefaultLimits() Limits { return Limits{Pixels: 40_000_000, Bytes: 512 << 20} }

// ErrFormat is a file that is neither PNG nor JPEG, or that is damaged. ErrLimit is one that is
// larger than its limits. Both are the fault of whoever sent it.
var (
	ErrFormat = errors.New("not a picture that can be read")
	ErrLimit  = errors.New("picture too large")
)

// Header is what a file says of the picture in it, before any of it is decoded.
type Header struct {
	W, H  int   // as it has to be seen
	Bytes int64 // that Decode takes at one time, at most
	turn  int   // orientation in the sense of EXIF, 1 to 8
}

// ReadHeader reads the beginning of a PNG or JPEG file, and refuses what Decode would refuse there.
func ReadHeader(file []byte, lim Limits) (Header, error) {
	f, ok := formatOf(file)
	if !ok {
		return Header{}, fmt.Errorf("%w: expected a PNG or a JPEG file", ErrFormat)
	}
	h, err := f.size(file)
	if err != nil {
		return Header{}, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if err := h.within(lim); err != nil {
		return Header{}, err
	}
	head := Header{W: int(h.w), H: int(h.h), Bytes: h.bytes, turn: h.turn}
	if h.turn >= 5 {
		head.W, head.H = head.H, head.W
	}
	return head, nil
}

// Decode reads a PNG or JPEG file. What is transparent in it shows white. The picture is turned as
// EXIF's orientation in a JPEG file says.
func Decode(ctx context.Context, file []byte, lim Limits) (*Image, error) {
	head, err := ReadHeader(file, lim)
	if err != nil {
		return nil, err
	}
	f, _ := formatOf(file)
	src, err := f.decode(&reader{ctx: ctx, rest: file})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	m, err := flatten(ctx, src)
	if err != nil {
		return nil, err
	}
	return m.Turn(head.turn), nil
}

// size is what a format's header says.
type size struct {
	w, h  int64
	bytes int64 // of decoding: all that lives at one time
	turn  int
}

// longest is the longest side: JPEG's, which PNG's may exceed.
const longest = 1<<16 - 1

func (h size) within(lim Limits) error {
	if h.w < 1 || h.h < 1 {
		return fmt.Errorf("%w: %d x %d pixels", ErrFormat, h.w, h.h)
	}
	if h.w > longest || h.h > longest || h.w*h.h > lim.Pixels {
		return fmt.Errorf("%w: %d x %d pixels, at most %d together and %d on a side; send it smaller", ErrLimit, h.w, h.h, lim.Pixels, longest)
	}
	if h.bytes > lim.Bytes {
		return fmt.Errorf("%w: decoding %d x %d pixels of this kind takes %s, at most %s; send it smaller or not progressive", ErrLimit, h.w, h.h, sizes.Of(h.bytes), sizes.Of(lim.Bytes))
	}
	return nil
}

// reader gives a file to a decoder a few bytes at a time, and nothing once the context has ended.
// A hundred bytes can stand for a hundred kilobytes of pixels or for ten passes over all of them,
// so that is how often it looks.
type reader struct {
	ctx  context.Context
	rest []byte
}

func (r *reader) Read(p []byte) (int, error) {
	const step = 128
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n := copy(p[:min(len(p), step)], r.rest)
	r.rest = r.rest[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
