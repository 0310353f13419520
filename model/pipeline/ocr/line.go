package ocr

import (
	"context"

	"github.com/blindbox/blindbox/model/pipeline/picture"
)

// Line is what a reader takes of a line of text: three planes of so many rows, with values from -1
// to 1, and zeros behind the text.
type Line struct {
	Values []float32 // 3 * Height * Width
	Height int
	Width  int
}

// LineOf makes a line that is so high, as LineWidth says.
func LineOf(ctx context.Context, m *picture.Image, height int) (Line, error) {
	width, text := LineWidth(m.W, m.H, height)
	return lineOf(ctx, m, height, width, text)
}

// ShortLineOf makes a line of 192 x 48 pixels, into which a longer one is squeezed: for models that tell
// whether it is upside down.
func ShortLineOf(ctx context.Context, m *picture.Image) (Line, error) {
	const width, height = 192, 48
	_, text := LineWidth(m.W, m.H, height)
	return lineOf(ctx, m, height, width, min(text, width))
}

func lineOf(ctx context.Context, m *picture.Image, height, width, text int) (Line, error) {
	small, err := m.Linear(ctx, text, height)
	if err != nil {
		return Line{}, err
	}
	tight := make([]float32, 3*height*text)
	half := [3]float32{0.5, 0.5, 0.5}
	values := picture.Values{Order: picture.BGR, Mean: half, Std: half}
	if err := values.Write(ctx, tight, small); err != nil {
		return Line{}, err
	}
	line := Line{Values: make([]float32, 3*height*width), Height: height, Width: width}
	for y := range 3 * height {
		copy(line.Values[y*width:], tight[y*text:][:text])
	}
	return line, nil
}
