package picture

import (
	"context"
	"image"
	"image/color"
)

// flatten makes pixels of three bytes of what a decoder returns, on white. The kinds of picture
// that are frequent have a loop of their own; the others go through their colour model.
func flatten(ctx context.Context, src image.Image) (*Image, error) {
	b := src.Bounds()
	m := New(b.Dx(), b.Dy())
	row := rowOf(src)
	for y := range m.H {
		if y%16 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		row(m.Pix[3*m.W*y:][:3*m.W], b.Min.Y+y)
	}
	return m, nil
}

// rowOf returns what writes the pixels of row y.
func rowOf(src image.Image) func(to []byte, y int) {
	switch s := src.(type) {
	case *image.YCbCr:
		return rowsYCbCr(s)
	case *image.Gray:
		return func(to []byte, y int) {
			for i, v := range s.Pix[s.PixOffset(s.Rect.Min.X, y):][:len(to)/3] {
				to[3*i], to[3*i+1], to[3*i+2] = v, v, v
			}
		}
	case *image.RGBA:
		return func(to []byte, y int) { rowRGBA(to, s.Pix[s.PixOffset(s.Rect.Min.X, y):]) }
	case *image.NRGBA:
		return func(to []byte, y int) { rowNRGBA(to, s.Pix[s.PixOffset(s.Rect.Min.X, y):]) }
	case *image.Paletted:
		return paletted(s)
	}
	return func(to []byte, y int) {
		x := src.Bounds().Min.X
		for i := range len(to) / 3 {
			over(to[3*i:][:3], color.NRGBAModel.Convert(src.At(x+i, y)).(color.NRGBA))
		}
	}
}

// over writes a colour on white.
func over(to []byte, c color.NRGBA) {
	if c.A == 255 {
		to[0], to[1], to[2] = c.R, c.G, c.B
		return
	}
	a := uint32(c.A)
	mix := func(v uint8) byte { return byte((uint32(v)*a + 255*(255-a) + 127) / 255) }
	to[0], to[1], to[2] = mix(c.R), mix(c.G), mix(c.B)
}

// rowRGBA takes colours that alpha is multiplied into. Decoders return them where there is none.
func rowRGBA(to, from []byte) {
	for i := range len(to) / 3 {
		white := 255 - from[4*i+3]
		to[3*i], to[3*i+1], to[3*i+2] = from[4*i]+white, from[4*i+1]+white, from[4*i+2]+white
	}
}

func rowNRGBA(to, from []byte) {
	for i := range len(to) / 3 {
		p := from[4*i:][:4]
		over(to[3*i:][:3], color.NRGBA{R: p[0], G: p[1], B: p[2], A: p[3]})
	}
}

func paletted(s *image.Paletted) func(to []byte, y int) {
	table := [256][3]byte{}
	for i, c := range s.Palette[:min(len(s.Palette), 256)] {
		over(table[i][:], color.NRGBAModel.Convert(c).(color.NRGBA))
	}
	return func(to []byte, y int) {
		for i, v := range s.Pix[s.PixOffset(s.Rect.Min.X, y):][:len(to)/3] {
			copy(to[3*i:][:3], table[v][:])
		}
	}
}
